"""Runs stand beside what the paper prints under their variants' names, with intervals and with what is unknown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from run_folder import measures, run_record
from typer.testing import CliRunner

from mmedpo.cli.main import app
from mmedpo.errors import RecipeError
from mmedpo.evaluate.comparison import compare_runs
from mmedpo.evaluate.methods.names import list_methods
from mmedpo.evaluate.published_numbers import compare_with_published, load_published
from mmedpo.store.run_files.format import write_file, write_rows
from mmedpo.store.run_files.measures import AnsweredCase, ImageFile

CASES = 40
PAPER = load_published("paper")


def make_run(folder: Path, *right: float, reader: str = "slake", seed: int = 0, adapter: str | None = None) -> Path:
    """Write a run that answers so many of its cases rightly, before and perhaps after: half closed, half open."""
    folder.mkdir(parents=True)
    rows = [
        AnsweredCase(
            id=f"{n}",
            group=f"{n // 4}",
            kind="open" if n % 2 else "closed",
            question="?",
            truth="yes",
            before="",
            after="" if len(right) > 1 else None,
            cut=(False,) * len(right),
            image=ImageFile(path="", sha256=f"{n // 4}"),
            regions=(),
            restricted=False,
            statistics={"med-vqa": tuple(count(n, n * 7 % CASES < share * CASES) for share in right)},
            gain={},
        )
        for n in range(CASES)
    ]
    write_rows(folder, AnsweredCase, rows)
    write_file(folder, measures())
    data = {"use": reader, **({"root": str(folder)} if reader != "phantom" else {})}
    recipe = {
        "output": str(folder),
        "data": {"use": "phantom"},
        "backbone": {"use": "phantom", "adapter": adapter},
        "evaluate": {"data": data, "measure": [{"use": "med-vqa"}]},
        "disprefer": [{"use": "self-hallucination"}],
        "unrated": "keep",
    }
    write_file(folder, run_record(recipe, seed=seed))
    return folder


def count(case: int, right: bool) -> dict[str, float]:
    if case % 2:
        return {"open": 1.0, "open_recall": float(right), "hits": float(right), "missed": float(not right)}
    return {"closed": 1.0, "closed_accuracy": float(right)}


def cells(found: list[dict[str, Any]], measure: str) -> dict[tuple[str, str], dict[str, Any]]:
    return {(row["method"], row["column"]): row for row in found if row.get("measure") == measure}


def test_each_method_stands_beside_the_row_of_its_variant(tmp_path: Path) -> None:
    seeds = [str(make_run(tmp_path / f"mmedpo-{seed}", 0.4, 0.6 + seed / 10, seed=seed)) for seed in (0, 1)]
    base = str(make_run(tmp_path / "base", 0.4))
    compared = compare_with_published(list_methods([base, ",".join(seeds)]), "paper")
    accuracy = cells(compared.rows, "closed_accuracy")
    ours = accuracy["mmedpo", "closed"]
    assert (ours["published"], ours["runs"]) == ([73.08], 2)
    assert ours["value"] == pytest.approx(65, abs=5)
    assert ours["low"] < ours["value"] < ours["high"]
    assert accuracy["base", "closed"]["published"] == [61.30]
    assert accuracy["base", "closed"]["value"] == pytest.approx(40, abs=5)
    assert {row["column"] for row in compared.rows} == {"open", "closed"}


def test_the_start_of_the_first_runs_is_the_row_of_the_model_alone(tmp_path: Path) -> None:
    run = make_run(tmp_path / "dpo", 0.4, 0.8)
    compared = compare_with_published(list_methods([str(run)]), "paper", start=True)
    assert [row["method"] for row in compared.rows] == ["base"] * 2 + ["dpo"] * 3
    sft = make_run(tmp_path / "sft-dpo", 0.4, 0.8, adapter=str(tmp_path / "sft/adapter"))
    with pytest.raises(RecipeError, match="begins with an adapter"):
        compare_with_published(list_methods([str(sft)]), "paper", start=True)


def test_ablations_are_means_over_columns_and_both_numbers_of_one_that_is_printed_twice_are_there(
    tmp_path: Path,
) -> None:
    run = make_run(tmp_path / "stage-2", 0.4, 0.8)
    compared = compare_with_published(list_methods([str(run)]), "paper")
    (row,) = compared.rows
    assert (row["column"], row["published"], row["measure"]) == ("average", [60.88, 59.88], "average")
    assert row["value"] == pytest.approx(80, abs=5)
    assert row["low"] <= row["value"] <= row["high"]
    assert "SLAKE, stage-2: printed as 60.88 and 59.88" in compared.notes


def test_what_is_not_printed_or_unknown_is_said(tmp_path: Path) -> None:
    run = make_run(tmp_path / "mine", 0.4, 0.8, reader="vqa-rad")
    compared = compare_with_published(list_methods([str(run)]), "paper")
    told = "\n".join(compared.notes)
    assert compared.rows == []
    assert "mine: nothing is printed under this name; of VQA-RAD there are: base, self-rewarding, dpo" in told
    assert "313 of VQA-RAD's 315 images" in told
    assert "measured on 40 cases, where the publication tested on 451" in told
    assert "no seeds and no intervals" in told


def test_the_data_set_is_that_of_the_reader_unless_it_is_named(tmp_path: Path) -> None:
    run = str(make_run(tmp_path / "mmedpo", 0.4, 0.8, reader="phantom"))
    with pytest.raises(RecipeError, match=r"'phantom', of which nothing is printed; say with --data-set"):
        compare_with_published(list_methods([run]), "paper")
    named = compare_with_published(list_methods([run]), "paper", data_set="vqa-rad")
    assert cells(named.rows, "closed_accuracy")["mmedpo", "closed"]["published"] == [66.54]
    with pytest.raises(RecipeError, match="did you mean 'slake'"):
        compare_with_published(list_methods([run]), "paper", data_set="slak")


def test_a_column_that_the_run_did_not_measure_says_so(tmp_path: Path) -> None:
    run = make_run(tmp_path / "mmedpo", 0.4, 0.8)
    shown = CliRunner().invoke(app, ["compare", str(run), "--published", "paper", "--data-set", "iu-xray"])
    assert shown.exit_code == 0, shown.output
    assert "IU X-ray  mmedpo  bleu     23.49      not measured" in shown.output


def test_the_command_prints_theirs_and_ours_and_as_json(tmp_path: Path) -> None:
    run = make_run(tmp_path / "mmedpo", 0.4, 0.8)
    shown = CliRunner().invoke(app, ["compare", str(run), "--published", "paper"])
    assert shown.exit_code == 0, shown.output
    (line,) = [line for line in shown.output.splitlines() if "closed_accuracy" in line]
    assert line.split()[:4] == ["SLAKE", "mmedpo", "closed", "73.08"]
    assert "note: no seeds and no intervals were published" in shown.output
    printed = json.loads(CliRunner().invoke(app, ["compare", str(run), "--published", "paper", "--json"]).stdout)
    assert {"source", "rows", "notes"} == set(printed)
    for words, told in (
        (["--published", "other"], "there are: paper"),
        (["--data-set", "slake"], "--data-set is for --published"),
    ):
        refused = CliRunner().invoke(app, ["compare", str(run), *words])
        assert refused.exit_code == 2
        assert told in refused.stderr


def test_a_model_alone_is_compared_by_its_only_answers(tmp_path: Path) -> None:
    base, run = make_run(tmp_path / "base", 0.4), make_run(tmp_path / "mmedpo", 0.4, 0.8)
    rows = {
        row["method"]: row
        for row in compare_runs({"base": [base], "mmedpo": [run]})
        if row["measure"] == "closed_accuracy"
    }
    assert rows["base"]["value"] == pytest.approx(0.4, abs=0.05)
    assert rows["mmedpo"]["difference"] == pytest.approx(0.4, abs=0.05)


def test_every_printed_row_has_a_number_a_column_and_every_set_the_same_rows() -> None:
    for found in PAPER.sets.values():
        assert {len(numbers) for numbers in found.rows.values()} == {len(found.columns)}
    assert len({tuple(found.rows) for found in PAPER.sets.values()}) == 1
    assert len({tuple(found.ablations) for found in PAPER.sets.values()}) == 1


def test_where_an_average_is_not_that_of_the_columns_a_remark_says_so() -> None:
    for found in PAPER.sets.values():
        mean = sum(found.rows["dpo"]) / len(found.columns)
        apart = abs(mean - found.ablations["dpo"][0]) > 0.02
        told = f"DPO's row has the mean {mean:.2f}, and the same setting is printed as {found.ablations['dpo'][0]}"
        assert any(told in remark for remark in found.remarks) == apart
