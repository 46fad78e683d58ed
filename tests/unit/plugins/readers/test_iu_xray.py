"""IU X-ray as R2Gen lays it out, written here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from mmedpo_plugins.readers.iu_xray import IuXrayReader
from PIL import Image

from mmedpo import Case, DataError, Drop

STUDY = "CXR2384_IM-0942"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "images" / STUDY).mkdir(parents=True)
    for number in (0, 1):
        Image.new("L", (8, 8), number).save(tmp_path / "images" / STUDY / f"{number}.png")
    return tmp_path


def entry(split: str = "train", **changes: Any) -> dict[str, Any]:
    paths = [f"{STUDY}/0.png", f"{STUDY}/1.png"]
    return {"id": STUDY, "report": "The heart is normal.", "image_path": paths, "split": split, **changes}


def read(root: Path, *train: Any, **options: Any) -> list[Case | Drop]:
    splits = {"train": list(train), "val": [entry("val", id="CXR1_IM-0001")], "test": []}
    (root / "annotation.json").write_text(json.dumps(splits))
    return list(IuXrayReader(root=root, **options).read())


def test_a_study_becomes_a_case_with_its_first_film_and_its_report(root: Path) -> None:
    (case,) = read(root, entry())
    assert isinstance(case, Case)
    assert (case.id, case.answer, case.kind, case.group) == (STUDY, "The heart is normal.", "report", STUDY)
    assert case.image.path.endswith("0.png")
    assert "chest X-ray" in case.question
    assert not case.restricted


def test_each_view_can_be_a_case_in_one_group(root: Path) -> None:
    cases = [case for case in read(root, entry(), views="each", question="Describe.") if isinstance(case, Case)]
    assert [(case.id, Path(case.image.path).name) for case in cases] == [
        (f"{STUDY}/0", "0.png"),
        (f"{STUDY}/1", "1.png"),
    ]
    assert {(case.group, case.question) for case in cases} == {(STUDY, "Describe.")}


def test_all_views_can_be_one_case_with_its_report_once(root: Path) -> None:
    (case,) = read(root, entry(), views="all")
    assert isinstance(case, Case)
    assert (case.id, [Path(image.path).name for image in case.images]) == (STUDY, ["0.png", "1.png"])
    (alone,) = read(root, entry(image_path=[f"{STUDY}/0.png"]), views="all")
    assert isinstance(alone, Case)
    assert not alone.more_images
    assert read(root, entry(image_path=[f"{STUDY}/0.png", "gone.png"]), views="all", missing="skip") == [
        Drop(STUDY, "the image is missing")
    ]


def test_of_several_questions_each_study_gets_the_one_that_its_id_says(root: Path) -> None:
    asked = ["Describe.", "Report.", "Explain."]
    studies = [entry(id=f"CXR{number}") for number in range(30)]
    first = {case.id: case.question for case in read(root, *studies, question=asked) if isinstance(case, Case)}
    assert set(first.values()) == set(asked)
    again = read(root, *studies[::-2], question=asked, views="each")
    assert {(case.group, case.question) for case in again if isinstance(case, Case)} < set(first.items())


@pytest.mark.parametrize("given", ["", [], ["Describe.", " "], 7, {"a": "b"}])
def test_what_is_no_question_is_refused(root: Path, given: Any) -> None:
    with pytest.raises(ValueError, match="must be a question, or a list of questions"):
        IuXrayReader(root=root, question=given)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("some.txt", "CXR1\n\n CXR3 \nCXR9\n"),
        ("some.csv", "split,id\ntrain,CXR1\ntrain,CXR3\ntrain,CXR9"),
        ("some.json", '["CXR1", {"id": "CXR3", "image": "x.png"}, "CXR9"]'),
        ("some.jsonl", '{"study_id": "CXR1"}\n{"study_id": "CXR3"}\n{"study_id": "CXR9"}'),
    ],
)
def test_a_file_names_the_studies_to_take_and_those_not_there_are_named(root: Path, name: str, text: str) -> None:
    (root / name).write_text(text)
    *cases, gone = read(root, *(entry(id=f"CXR{number}") for number in (3, 2, 1)), studies=root / name)
    assert [case.id for case in cases if isinstance(case, Case)] == ["CXR3", "CXR1"]
    among = f'not among the studies of {root} in split train: "CXR9"'
    assert gone == Drop("CXR9", f"named in {name}, and {among}")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "some.txt",
            "1\n2\n3\n4\n5",
            r"some\.txt: of the studies that it names none is among .*: \"1\", \"2\", \"3\" and 2 more",
        ),
        ("some.txt", "\n", r"some\.txt: names no study"),
        ("some.csv", "study\n1", r"some\.csv:2: names no study; none of study_id, dicom_id, id is there"),
        ("some.json", '{"CXR1": 1}', r"some\.json: must hold a list of studies"),
        ("some.json", "[[1]]", r"some\.json: entry 0: 'id' must be a text, not \[1\]"),
    ],
)
def test_a_file_that_names_no_study_that_is_there_is_an_error(root: Path, name: str, text: str, message: str) -> None:
    (root / name).write_text(text)
    with pytest.raises(DataError, match=message):
        read(root, entry(), studies=root / name)


def test_the_split_is_that_of_the_file(root: Path) -> None:
    assert [case.id for case in read(root, entry(), split="val") if isinstance(case, Case)] == ["CXR1_IM-0001"]
    assert len(read(root, entry(), split="all")) == 2
    assert read(root, entry(), split="test") == []


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (entry(report=" "), r"train\[1\]: 'report' must be a text"),
        (entry(image_path=[]), r"train\[1\]: 'image_path' must be a list of files"),
        (entry(image_path=["/etc/passwd"]), r"train\[1\]: the image '/etc/passwd' is outside"),
        (entry(image_path=["gone.png"]), r"no image gone\.png"),
        ("text", r"train\[1\]: 'id' must be a text"),
    ],
)
def test_what_is_wrong_with_an_entry_is_said_with_its_place(root: Path, broken: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(root, entry(), broken)


def test_a_film_that_is_missing_is_left_out_where_the_recipe_says_so(root: Path) -> None:
    dropped = read(root, entry(image_path=["gone.png"]), missing="skip")
    assert dropped == [Drop(STUDY, "the image is missing")]


def test_a_file_of_another_form_is_named(root: Path) -> None:
    (root / "annotation.json").write_text("[]")
    with pytest.raises(DataError, match=r"annotation\.json: has no list 'train'"):
        list(IuXrayReader(root=root).read())
