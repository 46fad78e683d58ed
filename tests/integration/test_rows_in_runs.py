"""What stands in a row gets through a run whole, or is said with file and line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from PIL import Image
from typer.testing import CliRunner

from mmedpo.cli.main import app
from mmedpo.store.run_files.reader import read_pairs, read_run
from mmedpo.store.run_files.record import RunRecord

RECIPE = """
output: {folder}/run
data: {{use: {use}, file: {file}, images: {folder}}}
backbone: {{use: phantom}}
disprefer: [{{use: opposite-answer}}]
unrated: keep
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number in range(1, 4):
        Image.linear_gradient("L").rotate(90 * number).resize((64, 64)).save(tmp_path / f"{number}.png")
    return tmp_path


def command(root: Path, file: Path, until: str, *overrides: str) -> Result:
    """Run a table up to a stage."""
    recipe = root / "recipe.yaml"
    recipe.write_text(RECIPE.format(folder=root, file=file, use="csv" if ".csv" in file.name else "jsonl"))
    return CliRunner().invoke(app, ["run", str(recipe), *overrides, "--until", until])


def run(root: Path, file: Path, until: str, *overrides: str) -> RunRecord:
    """Run a table up to a stage; return what run.json says."""
    done = command(root, file, until, *overrides)
    assert done.exit_code == 0, done.output
    return read_run(root / "run").run


def write(root: Path, *rows: dict[str, Any]) -> Path:
    file = root / "vqa.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def line(number: int, **changes: Any) -> dict[str, Any]:
    return {"image": f"{number}.png", "question": f"Is there a nodule in {number}?", "answer": "Yes", **changes}


@pytest.mark.slow
@pytest.mark.parametrize("mark", "\u2028\u2029\x85\x0b\x0c\x1c\x1d\x1e\r")
def test_a_text_with_any_line_break_of_unicode_is_read_back_whole(mark: str, root: Path) -> None:
    file = write(root, line(1, question=f"Is it?{mark}Look.", group=f"a{mark}b"), line(2))
    run(root, file, "weigh")
    first, second = (item.pair.case for item in read_pairs(root / "run"))
    assert (first.question, first.group, second.answer) == (f"Is it?{mark}Look.", f"a{mark}b", "Yes")
    assert run(root, file, "weigh")  # and the folder is as good as before


def test_the_shared_text_with_u2028_is_read_back_whole(shared: Path, root: Path) -> None:
    run(root, shared / "cases/rows/linesep_u2028.jsonl", "weigh")
    assert [item.pair.case.answer for item in read_pairs(root / "run")] == ["Yes", "No"]


WRONG = {
    "nan_answer.jsonl": "nan_answer.jsonl:1: 'answer' must be a text, not missing",
    "surrogate_question.jsonl": r"surrogate_question.jsonl:1: 'question' holds half a character (\ud83d)",
    "surrogate_answer.jsonl": r"surrogate_answer.jsonl:1: 'answer' holds half a character (\ud83d)",
    "deep.jsonl": "deep.jsonl:1: nests values within values without end",
    "gz_corrupt.jsonl.gz": "gz_corrupt.jsonl.gz: cannot be unpacked",
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_row_of_the_shared_cases_ends_with_its_file_and_line(name: str, shared: Path, root: Path) -> None:
    done = command(root, shared / "cases/rows" / name, "read")
    assert done.exit_code == 4
    assert WRONG[name] in done.output


def test_nan_in_other_columns_of_the_shared_cases_is_missing(shared: Path, root: Path) -> None:
    run(root, shared / "cases/rows/nan_id.jsonl", "weigh")
    assert len({item.pair.case.id for item in read_pairs(root / "run")} - {"nan"}) == 2
    run(root, shared / "cases/rows/nan_about.jsonl", "weigh")
    (item,) = read_pairs(root / "run")
    assert (item.pair.case.about, item.pair.case.regions, item.pair.case.kind) == ((), (), "closed")


@pytest.mark.parametrize("column", ["id", "kind", "group", "about", "boxes", "restricted"])
def test_nan_in_a_column_is_as_if_it_were_not_there(column: str, root: Path) -> None:
    run(root, write(root, line(1, **{column: float("nan")})), "weigh")
    with_nan = list(read_pairs(root / "run"))
    run(root, write(root, line(1)), "weigh")
    assert list(read_pairs(root / "run")) == with_nan


def test_the_shared_ways_to_write_yes_and_no_are_closed(shared: Path, root: Path) -> None:
    counts = run(root, shared / "cases/rows/csv_yes_variants.csv", "weigh")
    read = counts.stage("read")
    assert (read.total("closed_questions"), read.total("open_questions")) == (7, 6)
    rejected = [item.pair.rejected.answer.strip(" .!,;") for item in read_pairs(root / "run")]
    assert rejected == ["No", "no", "NO", "No", "yes", "Yes", "No"]


REPORT = "The heart is of normal size and the lungs are clear. " * 4
ODD = {
    "closed_questions": [line(1)],
    "open_questions": [line(1, answer="On the left")],
    "reports": [line(1, answer=REPORT, kind="report")],
    "long_open_answers": [line(1, answer=REPORT)],
    "contradictions": [line(1), line(1, answer="NO!")],
    "repeated_cases": [line(1), line(1, answer="yes."), line(2)],
}


@pytest.mark.parametrize("what", ODD)
def test_read_says_of_which_kinds_cases_are_and_what_is_odd_about_them(what: str, root: Path) -> None:
    expected = 2 if what == "contradictions" else 1
    assert run(root, write(root, *ODD[what]), "read").stage("read").total(what) == expected


def test_evaluation_data_that_are_the_training_data_are_said_as_they_are_read(root: Path) -> None:
    file = write(root, line(1), line(2))
    same = f"evaluate={{data: {{use: jsonl, file: {file}, images: {root}}}, measure: [{{use: med-vqa}}]}}"
    assert run(root, file, "read", same).stage("read").total("evaluated_cases") == 2
    assert run(root, file, "read").stage("read").total("evaluated_cases") == 0
