"""Runs are compared case by case, over resampled images and trainings, and never on different cases."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from measured_runs import CASES, make_run, some_right, statistics
from mmedpo_plugins.metrics.med_vqa.med_vqa import MedVqaMetric
from typer.testing import CliRunner

from mmedpo.cli.main import app
from mmedpo.errors import DataError
from mmedpo.evaluate.bootstrap import adjust_holm, pooled_intervals
from mmedpo.evaluate.comparison import compare_runs, split_by_difference
from mmedpo.evaluate.methods.names import name_methods
from mmedpo.evaluate.methods.runs import MethodRuns
from mmedpo.report.page import render_comparison
from mmedpo.store.run_files.format import write_file
from mmedpo.store.run_files.reader import read_run


def compare(*named: Path | str, start: bool = False) -> list[dict[str, Any]]:
    return compare_runs(name_methods([str(one) for one in named]), start=start)


def rows_of(measure: str, rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {row["method"]: row for row in rows if row["measure"] == measure}


def test_a_better_run_differs_by_what_it_gets_right_more(tmp_path: Path) -> None:
    worse, better = some_right(0.3, 1), some_right(0.9, 2)
    a, b = make_run(tmp_path / "a", worse, worse), make_run(tmp_path / "b", better, worse)
    found = rows_of("closed_accuracy", compare(a, b))["b"]
    assert found["difference"] == pytest.approx(np.mean(better) - np.mean(worse))
    assert found["low"] < found["difference"] < found["high"]
    assert found["p_holm"] == found["p"] == 1 / 1000


def test_what_no_draw_contradicts_is_found_among_many_comparisons(tmp_path: Path) -> None:
    worse, better = some_right(0.2, 1), some_right(0.95, 2)
    folders = [make_run(tmp_path / f"{number}", better if number == 1 else worse, worse) for number in range(40)]
    rows = compare(*folders)
    assert len([row for row in rows if "p" in row or row["method"] != "0"]) > 50  # of 1,000 draws the least p is .001
    assert rows_of("closed_accuracy", rows)["1"]["p_holm"] < 0.05


def test_a_run_compared_with_its_start_gives_its_own_difference(tmp_path: Path) -> None:
    before, after = some_right(0.5, 1), some_right(0.7, 2)
    run = make_run(tmp_path / "a", after, before)
    found = rows_of("closed_accuracy", compare(run, start=True))
    assert found["start"]["value"] == pytest.approx(np.mean(before))
    assert found["a"]["difference"] == pytest.approx(np.mean(after) - np.mean(before))


def test_seeds_are_pooled_and_widen_the_interval_when_they_disagree() -> None:
    groups = [f"{n // 3}" for n in range(CASES)]
    base = [statistics([True] * CASES)] * 3
    mixed = [statistics([n % 2 == 0] * CASES) for n in range(3)]
    same = [statistics([n % 3 != 0 for n in range(CASES)])] * 3
    wide = pooled_intervals(MedVqaMetric(), base, mixed, groups, 0)["closed_accuracy"]
    narrow = pooled_intervals(MedVqaMetric(), base, same, groups, 0)["closed_accuracy"]
    assert wide["value"] == narrow["value"] == pytest.approx(-1 / 3)
    assert wide["high"] - wide["low"] > 2 * (narrow["high"] - narrow["low"])


def test_runs_on_other_cases_are_refused(tmp_path: Path) -> None:
    right = some_right(0.5, 1)
    a, b = make_run(tmp_path / "a", right, right), make_run(tmp_path / "b", right, right, truth="no")
    with pytest.raises(DataError, match="evaluate both on the same data"):
        compare(a, b)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [('"id":', '"id"', "broken JSON"), ('"group": "0"', '"group": 0', "group: "), ("1.0", "NaN", "statistics")],
)
def test_a_line_that_is_no_case_is_named(tmp_path: Path, old: str, new: str, why: str) -> None:
    run = make_run(tmp_path / "a", some_right(0.5, 1), some_right(0.5, 1))
    answers = run / "answers.jsonl"
    answers.write_text(answers.read_text().replace(old, new, 1))
    with pytest.raises(DataError, match=rf"answers.jsonl:1:.*{why}"):
        compare(run)


def test_as_many_runs_are_compared_with_as_many(tmp_path: Path) -> None:
    right = some_right(0.5, 1)
    a, b = (make_run(tmp_path / name, right, right) for name in "ab")
    with pytest.raises(DataError, match="one a seed"):
        compare(a, f"{a},{b}")


def test_the_command_prints_a_table_and_the_overlap(tmp_path: Path) -> None:
    a = make_run(tmp_path / "a", some_right(0.3, 1), some_right(0.3, 1))
    b = make_run(tmp_path / "b", some_right(0.9, 2), some_right(0.3, 1))
    done = CliRunner().invoke(app, ["compare", str(a), str(b), "--measure", "closed_accuracy"])
    assert done.exit_code == 0, done.output
    assert "closed_accuracy" in done.output
    assert "none of them was trained on" in done.output


def test_holm_is_the_published_procedure() -> None:
    assert adjust_holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_keeps_the_order_and_only_raises(values: list[float]) -> None:
    adjusted = adjust_holm(values)
    assert all(value <= new <= 1 for value, new in zip(values, adjusted, strict=True))
    order = sorted(range(len(values)), key=lambda index: values[index])
    assert [adjusted[index] for index in order] == sorted(adjusted)


def test_runs_that_measure_the_same_are_equal_and_not_incomparable(tmp_path: Path) -> None:
    right = some_right(0.5, 1)
    a, b = (make_run(tmp_path / name, right, right) for name in "ab")
    done = CliRunner().invoke(app, ["compare", str(a), str(b)])
    assert done.exit_code == 0, done.output
    assert "the runs differ in no measure" in done.stdout
    assert f"equal in all runs: med-vqa closed_accuracy {np.mean(right):.3f}, med-vqa closed_count 60" in done.stdout
    page = render_comparison([str(a), str(b)], [])
    assert "The runs differ in no measure." in page
    assert "cannot be compared" not in page
    assert "med-vqa closed accuracy" in page


def test_each_row_names_its_metric_and_metrics_are_not_mixed(tmp_path: Path) -> None:
    claims = {"claimed": 2.0, "right": 1.0, "true": 2.0, "found": 1.0, "report": 1.0, "false": 1.0, "unread": 0.0}
    folders = []
    for name, share in (("a", 0.3), ("b", 0.9)):
        folder = make_run(tmp_path / name, some_right(share, 1), some_right(0.3, 2))
        rows = [json.loads(line) for line in (folder / "answers.jsonl").read_text().splitlines()]
        for number, row in enumerate(rows):
            more = {**claims, "claimed": 1.0} if name == "b" and number % 2 else claims
            row["statistics"]["findings"] = [claims, more]
        (folder / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        known = read_run(folder).run
        known.recipe["evaluate"]["measure"].append({"use": "findings"})
        write_file(folder, known)
        folders.append(str(folder))
    rows = compare(*folders)
    (count,) = [row for row in rows if row["measure"] == "claimed_count" and row["method"] == "b"]
    assert count["difference"] == -30
    assert not {"p", "p_holm", "low"} & set(count), "a count is told and not tested"
    assert "p_holm" in rows_of("precision", rows)["b"]
    differ, equal = split_by_difference(rows)
    assert [row["metric"] for row in differ] == sorted((row["metric"] for row in differ), reverse=True)
    assert {row["measure"] for row in equal} >= {"recall", "true_count", "report_count", "closed_count"}
    lines = [line.split() for line in CliRunner().invoke(app, ["compare", *folders]).stdout.splitlines()]
    assert lines[0][:3] == ["metric", "measure", "run"]
    assert ["findings", "precision", "A"] in [line[:3] for line in lines]


def test_a_run_that_lacks_a_metric_of_the_first_is_refused(tmp_path: Path) -> None:
    right = some_right(0.5, 1)
    a, b = (make_run(tmp_path / name, right, right) for name in "ab")
    (b / "answers.jsonl").write_text((b / "answers.jsonl").read_text().replace("med-vqa", "findings"))
    with pytest.raises(DataError, match=r"b: is not measured by med-vqa, as .*a is"):
        compare(a, b)


def test_runs_in_folders_of_one_name_are_told_apart(tmp_path: Path) -> None:
    a, b = make_run(tmp_path / "a/run", some_right(0.2, 1), some_right(0.2, 1)), tmp_path / "b/run"
    make_run(b, some_right(0.9, 2), some_right(0.2, 1))
    found = rows_of("closed_accuracy", compare(a, b))
    assert set(found) == {str(a), str(b)}


def test_a_run_compared_with_itself_is_equal(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a", some_right(0.2, 1), some_right(0.2, 1))
    done = CliRunner().invoke(app, ["compare", str(run), str(run)])
    assert "the runs differ in no measure" in done.stdout
    assert done.stdout.count("closed_accuracy") == 1


def test_runs_that_two_engines_answered_for_are_compared_with_a_word_and_have_one_base(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    right, served = some_right(0.5, 1), {"answers": {"model": "m", "base_url": "http://localhost:1/v1", "trained": "t"}}
    here = make_run(tmp_path / "here", right, right)
    there = make_run(tmp_path / "there", right, right, backbone=served)
    again = make_run(tmp_path / "again", right, right, backbone=served)
    compare(there, again)
    assert not capsys.readouterr().err
    compare(here, there)
    assert "an endpoint answered for some of these runs" in capsys.readouterr().err
    both = MethodRuns("both", (here, there), (), 1)
    assert len(set(both.bases)) == 1
