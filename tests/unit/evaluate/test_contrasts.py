"""Named contrasts are tested as they were asked for: paired, corrected for all of them, and for nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from measured_runs import make_run, some_right
from typer.testing import CliRunner

from mmedpo.cli.main import app
from mmedpo.errors import RecipeError
from mmedpo.evaluate.bootstrap import adjust_holm
from mmedpo.evaluate.comparison import compare_runs
from mmedpo.evaluate.contrasts import compare_contrasts

SHARES = {"best": 0.8, "sft": 0.5, "uniform": 0.75}


@pytest.fixture(scope="module")
def methods(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """Return three methods of two seeds."""
    place, before = tmp_path_factory.mktemp("runs"), some_right(0.4, 0)
    return {
        name: [make_run(place / f"seed-{seed}" / name, some_right(share, seed + 1), before) for seed in range(2)]
        for name, share in SHARES.items()
    }


def test_a_contrast_is_the_row_of_a_comparison_and_holm_counts_the_contrasts_alone(
    methods: dict[str, list[Path]],
) -> None:
    rows = compare_contrasts(methods, [("best", "sft"), ("best", "uniform"), ("sft", "start")])
    assert [(row["method"], row["against"]) for row in rows] == [("best", "sft"), ("best", "uniform"), ("sft", "start")]
    (wanted,) = [row for row in compare_runs({name: methods[name] for name in ("sft", "best")}) if "p" in row]
    shared = ("difference", "low", "high", "p", "value", "metric", "measure", "runs")
    assert {key: rows[0][key] for key in shared} == {key: wanted[key] for key in shared}
    assert rows[0]["value"] - rows[0]["against_value"] == pytest.approx(rows[0]["difference"])
    assert rows[0]["half_width"] == pytest.approx((wanted["high"] - wanted["low"]) / 2)
    assert [row["p_holm"] for row in rows] == adjust_holm([row["p"] for row in rows])


def test_the_start_is_the_model_without_an_adapter_where_a_method_began_with_it(
    methods: dict[str, list[Path]], tmp_path: Path
) -> None:
    before = some_right(0.5, 3)
    later = make_run(tmp_path / "later", before, before, backbone={"adapter": "sft/adapter"})
    first = {"later": [later], "sft": methods["sft"][:1]}
    (row,) = compare_contrasts(first, [("sft", "start")])
    assert row["against_value"] == pytest.approx(sum(some_right(0.4, 0)) / 60)
    assert compare_runs(first, start=True)[0]["value"] == row["against_value"]
    (row,) = compare_contrasts({"later": [later]}, [("later", "start")])
    assert row["difference"] == 0


def test_a_name_that_is_no_methods_is_a_mistake(methods: dict[str, list[Path]]) -> None:
    with pytest.raises(RecipeError, match="there is no method 'uniformly'; did you mean 'uniform'"):
        compare_contrasts(methods, [("best", "uniformly")])


def test_a_measure_that_cannot_be_tested_is_told(
    methods: dict[str, list[Path]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert not compare_contrasts(methods, [("best", "sft")], only=["closed_count"])
    assert "best and sft are not tested on closed_count" in capsys.readouterr().err
    with pytest.raises(RecipeError, match="there is no measure 'closed'; did you mean 'closed_"):
        compare_contrasts(methods, [("best", "sft")], only=["closed"])


def test_the_command_compares_the_methods_of_a_folder_by_name(methods: dict[str, list[Path]]) -> None:
    place = methods["best"][0].parents[1]
    line = ["compare", str(place), "--contrast", "best:sft", "--contrast", "best:start", "--measure", "closed_accuracy"]
    done = CliRunner().invoke(app, line)
    assert done.exit_code == 0, done.output
    head, first, second, *told = done.stdout.splitlines()
    assert head.split("  ")[0] == "contrast"
    assert first.startswith("best - sft ")
    assert second.startswith("best - start ")
    assert "2 trainings of each; p (Holm) is corrected for these 2 tests" in told
    assert "none of them was trained on" in told[-1]
    rows = json.loads(CliRunner().invoke(app, [*line, "--json"]).stdout)
    assert rows == compare_contrasts(methods, [("best", "sft"), ("best", "start")], only=["closed_accuracy"])


@pytest.mark.parametrize(
    ("words", "why"),
    [(["best"], "name two methods"), (["best:sft", "--start"], "leave out --start"), (["best:sf"], "mean 'sft'")],
)
def test_a_contrast_that_cannot_be_is_a_mistake(methods: dict[str, list[Path]], words: list[str], why: str) -> None:
    done = CliRunner().invoke(app, ["compare", str(methods["best"][0].parents[1]), "--contrast", *words])
    assert done.exit_code == 2
    assert why in done.stderr
