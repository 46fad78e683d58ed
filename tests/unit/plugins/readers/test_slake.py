"""SLAKE in its published layout, written here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mmedpo_plugins.readers.slake.slake import SlakeReader
from PIL import Image

from mmedpo import Case, DataError, Drop

QUESTION = {
    "img_id": 1,
    "img_name": "xmlab1/source.jpg",
    "question": "What modality is used to take this image?",
    "answer": "MRI",
    "q_lang": "en",
    "location": "Abdomen",
    "modality": "MRI",
    "answer_type": "OPEN",
    "base_type": "vqa",
    "content_type": "Modality",
    "triple": ["vhead", "_", "_"],
    "qid": 0,
}
BOXES = [{"Liver": [4, 6, 30, 40]}, {"Liver Cancer": [10.0, 12.0, 8.0, 6.0]}, {"Lung": [0, 0, 0, 5]}]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("xmlab1", "xmlab2"):
        folder = tmp_path / "imgs" / name
        folder.mkdir(parents=True)
        Image.new("RGB", (64, 48), "grey").save(folder / "source.jpg")
        (folder / "question.json").write_text("[]")
    mask = np.zeros((48, 64), dtype=np.uint8)
    mask[6:46, 4:34] = 70  # liver
    mask[13:17, 11:17] = 175  # liver cancer
    mask[40:44, 50:60] = 150  # kidney cancer, which has no box
    Image.fromarray(mask).save(tmp_path / "imgs" / "xmlab1" / "mask.png")
    (tmp_path / "imgs" / "xmlab1" / "detection.json").write_text(json.dumps(BOXES))
    return tmp_path


def read(root: Path, *changes: dict[str, Any], file: str = "train.json", **options: Any) -> list[Case]:
    rows = [{**QUESTION, "qid": number, **change} for number, change in enumerate(changes)]
    (root / file).write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
    items = list(SlakeReader(root=root, **options).read())
    assert all(isinstance(item, Case) for item in items)
    return [item for item in items if isinstance(item, Case)]


def test_a_question_becomes_a_public_case(root: Path) -> None:
    (case,) = read(root, {"answer": "Yes", "answer_type": "CLOSED"})
    assert (case.id, case.answer, case.kind, case.group) == ("0", "Yes", "closed", "xmlab1/source.jpg")
    assert (case.restricted, SlakeReader.public) == (False, True)
    assert case.image.path == str(root / "imgs/xmlab1/source.jpg")
    assert case.notes["content_type"] == "Modality"
    assert case.notes["triple"] == ["vhead", "_", "_"]


def test_questions_are_english_chinese_or_both(root: Path) -> None:
    changes = {}, {"q_lang": "zh", "question": "肝脏在图中吗？", "answer": "是", "answer_type": "CLOSED"}
    told = {language: [case.id for case in read(root, *changes, language=language)] for language in ("en", "zh")}
    assert told == {"en": ["0"], "zh": ["1"]}
    both = read(root, *changes, language="both")
    assert [(case.answer, case.kind) for case in both] == [("MRI", "open"), ("是", "closed")]


def test_lesions_have_their_boxes_and_their_masks(root: Path) -> None:
    (case,) = read(root, {})
    boxed, unboxed = case.regions
    assert (boxed.label, boxed.box) == ("Liver Cancer", (10, 12, 18, 18))
    assert (unboxed.label, unboxed.box) == ("Kidney Cancer", (50, 40, 60, 44))
    assert boxed.mask is not None
    assert boxed.mask.load().getbbox() == (11, 13, 17, 17)
    assert boxed.mask.load().size == (64, 48)


def test_organs_are_regions_where_the_recipe_says_so_and_boxes_without_area_never(root: Path) -> None:
    (case,) = read(root, {}, regions="all", masks=False)
    assert [(region.label, region.box) for region in case.regions] == [
        ("Liver", (4, 6, 34, 46)),
        ("Liver Cancer", (10, 12, 18, 18)),
    ]
    assert all(region.mask is None for region in case.regions)


@pytest.mark.parametrize(
    ("question", "about"),
    [
        ("Is there liver cancer?", ("Liver Cancer",)),
        ("Where is the liver?", ("Liver",)),
        ("Are livers larger than the liver cancer?", ("Liver Cancer", "Liver")),
        ("What is the delivery?", ()),
    ],
)
def test_a_case_is_about_the_labels_that_its_question_names(root: Path, question: str, about: tuple[str, ...]) -> None:
    (case,) = read(root, {"question": question}, regions="all")
    assert case.about == about


def test_an_image_without_annotation_has_no_regions(root: Path) -> None:
    (case,) = read(root, {"img_name": "xmlab2/source.jpg"})
    assert case.regions == ()


def test_the_greys_of_a_mask_are_those_of_mask_txt_where_it_is_there(root: Path) -> None:
    (root / "mask.txt").write_text("70:Lung Cancer\n175:Liver Cancer\n")
    (case,) = read(root, {})
    assert [region.label for region in case.regions] == ["Liver Cancer", "Lung Cancer"]
    (root / "mask.txt").write_text("70:Lung Cancer\nLiver\n")
    with pytest.raises(DataError, match=r"mask\.txt:2: expected a grey value"):
        read(root, {})


def test_the_validation_file_may_have_either_name(root: Path) -> None:
    assert len(read(root, {}, file="validation.json", split="validate")) == 1
    (root / "validation.json").rename(root / "validate.json")
    assert len(list(SlakeReader(root=root, split="validate").read())) == 1
    with pytest.raises(DataError, match=r"there is no test\.json; see docs/guides/data\.md"):
        list(SlakeReader(root=root, split="test").read())


def test_all_splits_are_read_with_ids_apart(root: Path) -> None:
    for name in ("validate.json", "test.json"):
        (root / name).write_text(json.dumps([QUESTION]))
    assert [case.id for case in read(root, {}, split="all")] == ["0", "0~2", "0~3"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[{]", r"detection\.json:1:3: broken JSON"),
        ("{}", r"detection\.json: expected a list of boxes"),
        ('[{"Liver": [1, 2]}]', r"detection\.json: the box of 'Liver' must be \[left"),
    ],
)
def test_a_file_of_boxes_that_cannot_be_read_is_named(root: Path, content: str, message: str) -> None:
    (root / "imgs/xmlab1/detection.json").write_text(content)
    with pytest.raises(DataError, match=message):
        read(root, {})


def test_a_mask_of_another_size_is_named_with_the_way_out(root: Path) -> None:
    Image.new("L", (64, 40), 175).save(root / "imgs/xmlab1/mask.png")
    with pytest.raises(DataError, match=r"mask\.png: is 64 x 40 pixels, its image 64 x 48; .*data\.masks=false"):
        read(root, {})


def test_missing_and_foreign_images_are_refused(root: Path) -> None:
    with pytest.raises(DataError, match=r"no image xmlab3/source\.jpg"):
        read(root, {"img_name": "xmlab3/source.jpg"})
    assert list(SlakeReader(root=root, missing="skip").read()) == [Drop("0", "the image is missing")]
    with pytest.raises(DataError, match=r"train\.json:1:2: entry 0: .* outside the folder"):
        read(root, {"img_name": "../../etc/passwd"})
