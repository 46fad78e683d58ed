"""VQA-RAD in both published forms, written here as they are laid out."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import ROOT
from mmedpo_plugins.readers.vqa_rad import VqaRadReader
from PIL import Image

from mmedpo import Case, DataError, Drop

SPLITS = ("train", "test", "all")
DATA = ROOT.parent / "shared" / "data"
QUESTION = {
    "qid": "0",
    "phrase_type": "freeform",
    "qid_linked_id": "03f451ca-de62-4617-9679-e836026a7642",
    "image_case_url": "https://medpix.nlm.nih.gov/case?id=48e1dd0e-8552-46ad-a354-5eb55be86de6",
    "image_name": "synpic54610.jpg",
    "image_organ": "HEAD",
    "evaluation": "not evaluated",
    "question": "Are regions of the brain infarcted?",
    "question_rephrase": "NULL",
    "question_relation": "NULL",
    "question_frame": "NULL",
    "question_type": "PRES",
    "answer": "Yes",
    "answer_type": "CLOSED",
}


@pytest.fixture
def osf(tmp_path: Path) -> Path:
    (tmp_path / "VQA_RAD Image Folder").mkdir()
    Image.new("L", (8, 8), 7).save(tmp_path / "VQA_RAD Image Folder" / "synpic54610.jpg")
    return tmp_path


def read(root: Path, *changes: dict[str, Any], **options: Any) -> list[Case | Drop]:
    rows = [{**QUESTION, "qid": str(number), **change} for number, change in enumerate(changes)]
    (root / "VQA_RAD Dataset Public.json").write_text(json.dumps(rows))
    return list(VqaRadReader(root=root, **options).read())


def png(grey: int) -> bytes:
    file = BytesIO()
    Image.new("L", (8, 8), grey).save(file, format="PNG")
    return file.getvalue()


@pytest.fixture
def hub(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    answers = {"train-00000-of-00001-eb8844602202be60": ["yes", "ct"], "test-00000-of-00001-e5bc3d208bb4deeb": ["no"]}
    for name, said in answers.items():
        rows = [{"image": {"bytes": png(5), "path": None}, "question": "what?", "answer": answer} for answer in said]
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / "data" / f"{name}.parquet")
    return tmp_path


def test_a_question_becomes_a_public_case(osf: Path) -> None:
    (case,) = read(osf, {})
    assert isinstance(case, Case)
    assert (case.id, case.question, case.answer, case.kind) == ("0", QUESTION["question"], "Yes", "closed")
    assert (case.group, case.restricted, VqaRadReader.public) == ("synpic54610.jpg", False, True)
    assert case.notes["image_organ"] == "HEAD"


def test_the_split_goes_by_the_phrase_type(osf: Path) -> None:
    types = [{"phrase_type": name} for name in ("freeform", "para", "test_freeform", "test_para")]
    splits = {split: [case.id for case in read(osf, *types, split=split) if isinstance(case, Case)] for split in SPLITS}
    assert splits == {"train": ["0", "1"], "test": ["2", "3"], "all": ["0", "1", "2", "3"]}


def test_the_answer_type_decides_also_where_a_space_is_behind_it(osf: Path) -> None:
    changes = {"answer": "Right", "answer_type": "CLOSED "}, {"answer": 3, "answer_type": "OPEN"}, {"answer_type": ""}
    assert [(case.answer, case.kind) for case in read(osf, *changes) if isinstance(case, Case)] == [
        ("Right", "closed"),
        ("3", "open"),
        ("Yes", "closed"),
    ]


def test_missing_images_are_an_error_or_left_out(osf: Path) -> None:
    with pytest.raises(DataError, match=r"no image synpic1\.jpg"):
        read(osf, {"image_name": "synpic1.jpg"})
    assert read(osf, {"image_name": "synpic1.jpg"}, missing="skip") == [Drop("0", "the image is missing")]


def test_an_entry_that_lacks_something_is_named(osf: Path) -> None:
    with pytest.raises(DataError, match=r"Public\.json:1:\d+: entry 1: 'answer' must be a text, not missing"):
        read(osf, {}, {"answer": None})


def test_the_hubs_parquet_files_hold_images_and_splits(hub: Path) -> None:
    cases = list(VqaRadReader(root=hub, split="all").read())
    ids = [case.id for case in cases if isinstance(case, Case)]
    assert [name.partition("-")[0] for name in ids] == ["train", "train", "test"]
    assert len(set(ids)) == 3
    assert [case.kind for case in cases if isinstance(case, Case)] == ["closed", "open", "closed"]
    assert isinstance(cases[0], Case)
    assert cases[0].image.load().getpixel((0, 0)) == 5
    assert len(list(VqaRadReader(root=hub, split="test").read())) == 1


def test_a_broken_parquet_file_or_image_is_named(hub: Path) -> None:
    (test,) = (hub / "data").glob("test-*")
    test.write_bytes(b"PAR1 broken")
    with pytest.raises(DataError, match=r"test-.*\.parquet: cannot be read as parquet"):
        list(VqaRadReader(root=hub, split="test").read())
    rows = [{"image": {"bytes": b"xx", "path": None}, "question": "?", "answer": "x"}]
    pq.write_table(pa.Table.from_pylist(rows), test)
    (case,) = VqaRadReader(root=hub, split="test").read()
    assert isinstance(case, Case)
    with pytest.raises(DataError, match=r"test-.*\.parquet: row 0: is no image"):
        case.image.load()


def test_a_folder_with_neither_form_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds neither .*docs/guides/data\.md"):
        VqaRadReader(root=tmp_path).read()


def test_two_real_images_are_read(tmp_path: Path) -> None:
    if not (DATA / "vqa_rad").exists():
        pytest.skip(f"{DATA / 'vqa_rad'} is not here")
    names = "synpic32933.jpg", "synpic42202.jpg"
    cases = read(tmp_path, *({"image_name": name} for name in names), images=DATA / "vqa_rad" / "images")
    assert all(min(case.image.load().size) > 200 for case in cases if isinstance(case, Case))
