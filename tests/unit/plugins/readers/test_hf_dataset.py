"""Data sets of the library `datasets`: saved folders, files in folders, images within rows and beside them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import datasets
import pandas as pd
import pytest
from mmedpo_plugins.readers.hf_dataset import HfDatasetReader
from PIL import Image

from mmedpo import Case, DataError, Drop


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    datasets.disable_progress_bars()
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)


@pytest.fixture
def film(tmp_path: Path) -> Path:
    (tmp_path / "films").mkdir()
    Image.new("L", (6, 6), 9).save(tmp_path / "films" / "a.png")
    return tmp_path / "films" / "a.png"


def dataset(film: Path) -> datasets.Dataset:
    rows = {"scan": [str(film)] * 2, "question": ["Is it there?", "Where?"], "finding": [1, 0], "secret": ["x", "y"]}
    labels = datasets.ClassLabel(names=["left", "yes"])
    text = datasets.Value("string")
    types = {"scan": datasets.Image(), "question": text, "finding": labels, "secret": text}
    return datasets.Dataset.from_dict(rows, features=datasets.Features(types))


COLUMNS = {"image": "scan", "answer": "finding"}


def read(path: Path | str, **options: Any) -> list[Case | Drop]:
    return list(HfDatasetReader(**{"path": str(path), "columns": COLUMNS, **options}).read())


def test_a_saved_set_gives_cases_with_its_images_and_class_names(film: Path, tmp_path: Path) -> None:
    datasets.DatasetDict({"train": dataset(film), "test": dataset(film)}).save_to_disk(tmp_path / "set")
    first, second = read(tmp_path / "set", split="test")
    assert isinstance(first, Case)
    assert isinstance(second, Case)
    assert (first.answer, first.kind) == ("yes", "closed")
    assert (second.answer, second.kind) == ("left", "open")
    assert first.image.load().getpixel((0, 0)) == 9
    assert first.restricted


def test_a_column_of_lists_gives_cases_of_several_images(film: Path, tmp_path: Path) -> None:
    rows = {"scan": [[str(film)] * 2, [str(film)]], "question": ["Is it there?", "Where?"], "finding": ["yes", "left"]}
    text = datasets.Value("string")
    types = {"scan": datasets.List(datasets.Image()), "question": text, "finding": text}
    datasets.Dataset.from_dict(rows, features=datasets.Features(types)).save_to_disk(tmp_path / "set")
    both, alone = read(tmp_path / "set")
    assert isinstance(both, Case)
    assert isinstance(alone, Case)
    assert [image.load().getpixel((0, 0)) for image in both.images] == [9, 9]
    assert not alone.more_images


def test_a_single_saved_set_and_a_folder_of_parquet_files_are_read(film: Path, tmp_path: Path) -> None:
    dataset(film).save_to_disk(tmp_path / "one")
    (tmp_path / "files").mkdir()
    datasets.load_from_disk(str(tmp_path / "one")).to_parquet(tmp_path / "files" / "train-00000-of-00001.parquet")
    for folder in ("one", "files"):
        cases = read(tmp_path / folder, notes=["secret"])
        assert [case.notes for case in cases if isinstance(case, Case)] == [{"secret": "x"}, {"secret": "y"}]
        assert all(case.image.load().size == (6, 6) for case in cases if isinstance(case, Case))


def test_json_lines_name_images_below_the_folder_or_another(film: Path, tmp_path: Path) -> None:
    rows = [{"image": "films/a.png", "question": "?", "answer": "yes", "boxes": [{"label": "n", "box": [0, 0, 2, 2]}]}]
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (case,) = read(tmp_path, columns={})
    assert isinstance(case, Case)
    assert (case.image.path, case.regions[0].label) == (str(tmp_path / "films/a.png"), "n")
    (case,) = read(tmp_path, columns={}, images=tmp_path)
    assert isinstance(case, Case)


def test_images_with_a_table_of_metadata_are_read(film: Path) -> None:
    (film.parent / "metadata.csv").write_text("file_name,question,answer\na.png,Where?,left\n")
    (case,) = read(film.parent, columns={})
    assert isinstance(case, Case)
    assert case.image.load().getpixel((0, 0)) == 9


def test_an_image_that_only_its_path_names_must_lie_in_the_folder(film: Path, tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    dataset(film).to_parquet(tmp_path / "files" / "train.parquet")
    with pytest.raises(DataError, match=r"files: train: row 0: the image .*a\.png' is outside the folder"):
        read(tmp_path / "files")
    assert len(read(tmp_path / "files", images=film.parent)) == 2


def test_missing_images_are_an_error_or_left_out(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text(json.dumps({"image": "gone.png", "question": "?", "answer": "x"}))
    with pytest.raises(DataError, match=r"no image gone\.png"):
        read(tmp_path, columns={})
    (dropped,) = read(tmp_path, columns={}, missing="skip")
    assert isinstance(dropped, Drop)


@pytest.mark.parametrize("name", ["train.csv", "train.jsonl", "metadata.csv"])
def test_texts_of_a_table_stay_what_they_are(name: str, film: Path, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(film.read_bytes())
    image = "file_name" if name == "metadata.csv" else "image"
    row = {image: "a.png", "question": "How many?", "answer": "None", "id": "007", "group": "NA"}
    text = ",".join(row) + "\n" + ",".join(row.values()) if name.endswith(".csv") else json.dumps(row)
    (tmp_path / name).write_text(text + "\n")
    (case,) = read(tmp_path, columns={}, images=film.parent)
    assert isinstance(case, Case)
    assert (case.id, case.answer, case.group) == ("007", "None", "NA")


def test_gaps_in_a_column_of_whole_numbers_leave_them_whole(film: Path, tmp_path: Path) -> None:
    rows = {"image": [str(film)] * 2, "question": ["?"] * 2, "answer": ["x", "y"], "group": [2, None]}
    pd.DataFrame(rows).to_parquet(tmp_path / "train.parquet")
    first, second = read(tmp_path, columns={}, images=film.parent)
    assert isinstance(first, Case)
    assert isinstance(second, Case)
    assert (first.group, second.group) == ("2", "")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "dev"}, r"set: cannot be loaded \(there is no split 'dev'; there are: train"),
        ({"columns": {**COLUMNS, "group": "patient"}}, r"set: train: has no column 'patient'; there are: "),
        ({"path": "nobody/nothing"}, r"nobody/nothing \(no folder here, so taken for a Hub name\): cannot be loaded"),
    ],
)
def test_what_is_not_there_is_named(film: Path, tmp_path: Path, options: dict[str, Any], message: str) -> None:
    datasets.DatasetDict({"train": dataset(film)}).save_to_disk(tmp_path / "set")
    with pytest.raises(DataError, match=message):
        read(**{"path": tmp_path / "set", **options})


def test_a_broken_line_is_an_error_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text('{"image": "a.png"}\n{broken\n')
    with pytest.raises(DataError, match=r"train\.jsonl:2:2: broken JSON"):
        read(tmp_path, columns={})
