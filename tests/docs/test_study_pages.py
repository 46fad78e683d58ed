"""The pages of studies tell what the studies found: numbers and figures are written from results, and none is typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from study_figures import DRAWN, StudyFigure
from study_pages import STUDIES, StudyPages, find_typed_numbers

ROWS = [
    {"cell": f"{name}-{dose}", "weighting": name, "dose": dose, "measure": "f1", "predicted": gain * dose}
    | {"observed": gain * dose + 0.01, "low": gain * dose - 0.02, "high": gain * dose + 0.04, "p_holm": 0.3}
    for name, gain in (("clinical", 0.0002), ("oracle", 0.001))
    for dose in (0, 25)
]


def test_pages_and_figures_are_what_the_results_say() -> None:
    studies = StudyPages()
    pages = studies.render()
    stale = [page.name for page, text in pages.items() if page.read_text() != text]
    drawn = {place: figure.is_drawn(place.read_text()) for place, figure in studies.figures.items() if place.exists()}
    stale += [place.name for place in studies.figures if not drawn.get(place)]
    assert not stale, f"{', '.join(stale)}: out of date: python scripts/study_pages.py"
    assert {*STUDIES.glob("figures/*")} == studies.figures.keys()
    assert {*STUDIES.glob("*.md")} == pages.keys(), "the results of every page are in the repository"


@pytest.mark.parametrize("source", sorted(STUDIES.glob("*.j2")), ids=lambda source: source.stem)
def test_nobody_types_a_number_of_a_study(source: Path) -> None:
    assert list(find_typed_numbers(source.read_text())) == []


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a page's source and results that nobody found."""
    (tmp_path / "results").mkdir()
    contrast = {"method": "best", "against": "sft", "measure": "f1", "difference": -0.0114}
    found = {
        "table": [{"method": "best", "measure": "f1", "value": 0.9484}],
        "contrasts": [contrast | {"low": -0.033, "high": -0.0001, "p_holm": 0.2249}],
        "cells": ROWS,
    }
    (tmp_path / "results" / "my-study.json").write_text(json.dumps(found))
    source = """# Title
F1 is {{ my_study.value("best", "f1") }} in `[.75, 1.25]`, {{ not_kept("once about .9") }}.
{% for row in my_study.contrasts %}
| {{ row.difference | signed }} | {{ row | interval }} | {{ row.p_holm | chance }} | {{ row.high - row.low }} |
{% endfor %}
{{ draw("doses", "my-doses", my_study.cells | where(measure="f1"), "Gain by dose") }}
"""
    (tmp_path / "page.md.j2").write_text(source)
    return tmp_path


def test_a_source_chooses_numbers_and_figures_of_the_results(folder: Path) -> None:
    studies = StudyPages(folder)
    title, notice, _, first, row, figure = studies.render()[folder / "page.md"].splitlines()
    assert title == "# Title"
    assert "page.md.j2" in notice
    assert first == "F1 is .948 in `[.75, 1.25]`, once about .9 (not kept)."
    assert row == "| -.011 | -.033 to .000 | .22 | .033 |"
    assert figure == "![Gain by dose](figures/my-doses.svg)"
    assert studies.figures[folder / "figures" / "my-doses.svg"].rows == ROWS


@pytest.mark.parametrize("asked", ['my_study.value("best", "recall")', "my_study.nothing", 'holds(1 < 0, "nothing")'])
def test_a_number_that_no_result_holds_and_a_claim_that_none_bears_out_are_told(asked: str, folder: Path) -> None:
    (folder / "page.md.j2").write_text(f"# Title\n{{{{ {asked} }}}}\n")
    with pytest.raises(Exception, match=r"recall|nothing"):
        StudyPages(folder).render()


def test_a_page_waits_for_results_that_are_not_there_yet(folder: Path) -> None:
    (folder / "page.md.j2").write_text("# Title\n{{ my_study.table }} {{ another.table }}\n")
    studies = StudyPages(folder)
    assert studies.list_missing(folder / "page.md.j2") == ["another"]
    assert studies.render() == {}


def test_a_typed_number_is_found_with_its_line() -> None:
    source = (
        "# 100 films\n`5e-4`, `[.75, 1.25]`, [it](a/b-1.2.md), 95 %\n\n    code 0.1\n\n{{ a\n.b }} is .948, not +0.01"
    )
    assert list(find_typed_numbers(source)) == ["line 7: .948", "line 7: +0.01"]


@pytest.mark.parametrize("kind", DRAWN)
def test_a_figure_has_both_kinds_of_colours_and_knows_its_rows(kind: str) -> None:
    options = {"levels": {"measures": ["observed"]}, "contrasts": {"told": ["cell"]}}
    figure = StudyFigure(kind, ROWS, options.get(kind, {}))
    svg = figure.draw()
    assert svg == figure.draw()
    assert "prefers-color-scheme: dark" in svg
    assert "var(--one)" in svg or kind == "contrasts"  # in which nothing is sure here
    assert figure.is_drawn(svg)
    assert not StudyFigure(kind, ROWS[1:], figure.options).is_drawn(svg)
    assert not figure.is_drawn(svg.replace("0.0", "0.1", 1))
