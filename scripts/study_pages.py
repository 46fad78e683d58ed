"""Write the pages of studies, tables and figures included, from what the studies found.

    python scripts/study_pages.py        # seconds

A page is what its source in docs/studies, PAGE.md.j2, makes of docs/studies/results/*.json, each a variable with the
name of its file. A number of a study is never typed: `{{ presence.value("sft", "f1") }}`,
`{{ row.difference | signed }}`, `{{ row | interval }}`, `{{ row.p_holm | chance }}`, `{{ share | percent }}`;
`rows | where(dose=25)` and `rows | one(method="best")` choose rows, and
`draw("doses", "weights-dose", rows, "What it shows")` puts a figure there. What was seen and not kept is said so:
`{{ not_kept("about .9") }}`. Settings, which no study found, are set as `code`.
tests/docs/test_study_pages.py fails where a page or a figure is not what this writes, or a decimal is typed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from study_figures import StudyFigure
from study_results import FILTERS, read_results, write_share

STUDIES = Path(__file__).parents[1] / "docs" / "studies"
NOTICE = "<!-- Written by scripts/study_pages.py from {page}.j2 and results: change those, and run it. -->\n"
# What of a page's source holds no number of a study: its code, what Jinja puts there, and where a link leads.
OTHER = re.compile(r"^````?.*?^````?$|`[^`\n]*`|\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}|\]\([^)]*\)|^ {4}.*?$", re.S | re.M)
DECIMAL = re.compile(r"(?<![\w.])[+-]?\d*\.\d+")


def render_pages(folder: Path = STUDIES) -> tuple[dict[Path, str], dict[Path, StudyFigure]]:
    """Return each page of a folder as its source and the results make it, and the figures that they show."""
    figures: dict[Path, StudyFigure] = {}
    pages = make_pages(folder, partial(place_figure, figures, folder))
    found = read_results(folder / "results")
    texts = {folder / name.removesuffix(".j2"): pages.get_template(name).render(found) for name in list_sources(folder)}
    return {page: add_notice(page, text) for page, text in texts.items()}, figures


def make_pages(folder: Path, draw: Callable[..., str]) -> Environment:
    """Return what turns the sources of pages into pages."""
    pages = Environment(
        loader=FileSystemLoader(folder),
        undefined=StrictUndefined,  # a number that is not there is no gap in a sentence
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=lambda value: write_share(value) if isinstance(value, float) else value,
    )
    pages.filters |= FILTERS
    pages.globals |= {"draw": draw, "not_kept": "{} (not kept)".format}
    return pages


def list_sources(folder: Path) -> list[str]:
    """Return the names of the pages' sources; one that begins with a line under it is for others to include."""
    return [path.name for path in sorted(folder.glob("[!_]*.md.j2"))]


def place_figure(
    figures: dict[Path, StudyFigure], folder: Path, kind: str, name: str, rows: Any, says: str, **options: Any
) -> str:
    """Note a figure that is to be drawn, and return what shows it."""
    figures[folder / "figures" / f"{name}.svg"] = StudyFigure(kind, rows, options)
    return f"![{says}](figures/{name}.svg)"


def add_notice(page: Path, text: str) -> str:
    """Say below the title of a page where it comes from."""
    title, _, rest = text.partition("\n")
    return f"{title}\n{NOTICE.format(page=page.name)}\n{rest}"


def find_typed_numbers(source: str) -> Iterator[str]:
    """Yield the decimals in a page's source that somebody typed, each with its line."""
    plain = OTHER.sub(lambda found: "\n" * found[0].count("\n"), source)
    for number, line in enumerate(plain.splitlines(), 1):
        yield from (f"line {number}: {found[0]}" for found in DECIMAL.finditer(line))


def main() -> None:
    """Write pages and figures, and delete figures that no page shows."""
    pages, figures = render_pages()
    for page, text in pages.items():
        page.write_text(text)
    for place in {*STUDIES.glob("figures/*.svg")} - figures.keys():
        place.unlink()
    for place, figure in figures.items():
        place.parent.mkdir(exist_ok=True)
        if not (place.exists() and figure.is_drawn(place.read_text())):  # another matplotlib sets other points
            place.write_text(figure.draw())
    print(*(path.relative_to(STUDIES) for path in (*pages, *figures)), sep="\n")


if __name__ == "__main__":
    main()
