"""Readers part their cases in two: some to train on, the others to measure on."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dicom_films import write as write_film
from mmedpo_plugins.readers.dicom import DicomReader
from mmedpo_plugins.readers.hf_dataset import HfDatasetReader
from mmedpo_plugins.readers.tables import CsvReader, JsonlReader, ParquetReader
from PIL import Image

from mmedpo import Case, DataError, Drop, Reader, RecipeError, Remark
from mmedpo.data.case_split import SHARED, UNKNOWN
from mmedpo.recipe.loading import load_recipe

PATIENTS = 40
SPLIT = {"test": 0.3, "by": "group"}
ROWS = [
    {"image": f"{number % 20}.png", "question": f"Is it {number}?", "answer": "Yes", "group": f"P{number % PATIENTS}"}
    for number in range(2 * PATIENTS)
]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("split")
    for number in range(20):
        Image.new("L", (8, 8), number).save(root / f"{number}.png")
    write_rows(root / "vqa.jsonl", ROWS)
    write_csv(root / "vqa.csv", ROWS)
    pq.write_table(pa.Table.from_pylist(ROWS), root / "vqa.parquet")
    (root / "hub").mkdir()
    write_rows(root / "hub" / "train.jsonl", ROWS)
    return root


def write_rows(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_csv(path: Path, rows: list[dict[str, Any]]) -> Path:
    lines = [",".join(rows[0]), *(",".join(row.values()) for row in rows)]
    path.write_text("\n".join(lines))
    return path


def cases_of(reader: Reader | None) -> list[Case]:
    assert reader is not None
    return [item for item in reader.read() if isinstance(item, Case)]


def remarks_of(reader: Reader) -> list[str]:
    return [item.text for item in reader.read() if isinstance(item, Remark)]


def test_every_reader_of_rows_parts_the_same_patients_and_leaves_no_case_out(root: Path) -> None:
    readers: list[Reader] = [
        CsvReader(file=root / "vqa.csv", split=SPLIT),
        JsonlReader(file=root / "vqa.jsonl", split=SPLIT),
        ParquetReader(file=root / "vqa.parquet", split=SPLIT),
        HfDatasetReader(path=str(root / "hub"), images=root, split={**SPLIT, "of": "train"}),
    ]
    sides = {
        tuple(frozenset(case.group for case in cases_of(side)) for side in (one, one.held_out())) for one in readers
    }
    ((train, test),) = sides
    assert not train & test
    assert len(train | test) == PATIENTS
    assert 0.1 < len(test) / PATIENTS < 0.5
    ids = [case.id for side in (readers[0], readers[0].held_out()) for case in cases_of(side)]
    assert sorted(ids) == sorted(case.id for case in cases_of(CsvReader(file=root / "vqa.csv")))


def test_what_the_other_side_has_is_counted(root: Path) -> None:
    reader = CsvReader(file=root / "vqa.csv", split=SPLIT)
    left = [item.reason for item in reader.read() if isinstance(item, Drop)]
    assert left == ["is measured on, by the split"] * len(cases_of(reader.held_out()))
    assert not remarks_of(reader)


def test_cases_that_come_or_go_move_no_other(root: Path) -> None:
    whole = {case.id for case in cases_of(CsvReader(file=root / "vqa.csv", split=SPLIT))}
    some = cases_of(CsvReader(file=write_csv(root / "some.csv", ROWS[: PATIENTS // 2]), split=SPLIT))
    assert some
    assert {case.id for case in some} <= whole
    other = cases_of(CsvReader(file=root / "vqa.csv", split={**SPLIT, "seed": 1}))
    assert {case.id for case in other} != whole


def test_without_a_group_the_image_stays_on_one_side_and_the_doubt_is_told(root: Path) -> None:
    reader = CsvReader(file=root / "vqa.csv", columns={"group": None}, split=SPLIT)
    train, test = ({case.image.path for case in cases_of(side)} for side in (reader, reader.held_out()))
    assert test
    assert not train & test
    assert set(remarks_of(reader)) == {UNKNOWN}
    assert set(remarks_of(CsvReader(file=root / "vqa.csv", split={"test": 0.5, "by": "image"}))) <= {SHARED}


def test_a_column_may_say_which_side(root: Path) -> None:
    words = ["train", "train", "dev", "val", "test"]
    rows = [{**row, "fold": words[at % 5], "group": f"P{at // 5}"} for at, row in enumerate(ROWS)]
    file = write_csv(root / "fold.csv", rows)
    split = {"column": "fold", "train": ["train", "dev"], "test": "test"}
    reader = CsvReader(file=file, split=split)
    assert (len(cases_of(reader)), len(cases_of(reader.held_out()))) == (48, 16)
    reasons = {item.reason for item in reader.read() if isinstance(item, Drop)}
    assert reasons == {"is measured on, by the split", "its 'fold' is \"val\", which the split does not name"}
    assert set(remarks_of(reader)) == {SHARED}


def test_a_case_of_several_images_wants_a_group(root: Path) -> None:
    write_rows(root / "several.jsonl", [{**ROWS[0], "image": ["0.png", "1.png"], "group": ""}])
    with pytest.raises(DataError, match=r"several.jsonl:1: a case of several images wants a group to be split by"):
        list(JsonlReader(file=root / "several.jsonl", split=SPLIT).read())


def test_films_are_parted_by_the_patient_in_their_header(tmp_path: Path) -> None:
    for number in range(24):
        film = write_film(tmp_path / f"{number}.dcm", PatientID=f"PAT-{number // 2}", ViewPosition=str(number))
        film.with_suffix(".json").write_text('{"question": "Is it?", "answer": "Yes"}')
    reader = DicomReader(root=tmp_path, split=SPLIT)
    train, test = ({case.notes["view"] for case in cases_of(side)} for side in (reader, reader.held_out()))
    assert len(train | test) == 24
    assert test
    assert not {int(name) // 2 for name in train} & {int(name) // 2 for name in test}


RECIPE = """\
output: out
data: {use: csv, file: vqa.csv, split: {test: 0.3, by: group}}
backbone: {use: phantom}
disprefer: [{use: opposite-answer}]
unrated: keep
train: {epochs: 1}
evaluate: {measure: [{use: med-vqa}]}
"""


def load(root: Path, monkeypatch: pytest.MonkeyPatch, recipe: str) -> Any:
    (root / "recipe.yaml").write_text(recipe)
    monkeypatch.chdir(root)
    return load_recipe(Path("recipe.yaml")).recipe


def test_a_recipe_says_its_split_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = load(root, monkeypatch, RECIPE)
    assert recipe.evaluate.data == recipe.data[0].held_out()
    assert recipe.evaluate.data.split.take == "test"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ((", split: {test: 0.3, by: group}", ""), "recipe.yaml:7:11: 'data' is missing: say what to measure on"),
        (("evaluate: {", "evaluate: {data: {use: csv, file: vqa.csv}, "), "cases may be on both sides; leave it out"),
        (("test: 0.3", "test: 30"), "recipe.yaml:2:47: test: a share above 0 and below 1, as 0.3 (given: 30)"),
        (("test: 0.3", "test: held"), "words are those of a column: say which by `column`"),
    ],
)
def test_a_split_that_would_not_part_is_refused(
    root: Path, monkeypatch: pytest.MonkeyPatch, change: tuple[str, str], why: str
) -> None:
    with pytest.raises(RecipeError) as refused:
        load(root, monkeypatch, RECIPE.replace(*change))
    assert why in str(refused.value)
