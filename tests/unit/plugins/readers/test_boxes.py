"""Films with boxes in the layouts that COCO, NIH ChestX-ray and VinDr-CXR publish."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Mmedpo
from mmedpo_plugins.readers.boxes import BoxesReader
from PIL import Image

from mmedpo import Case, DataError, Drop

NIH = """Image Index,Finding Label,Bbox [x,y,w,h],,,
00000013_002.png,Atelectasis,10.5,12.0,8.0,6.0,,,
00000013_002.png,Effusion,1,2,3,4,,,
00000032_001.png,Nodule,30,30,5,5,,,
"""
VINDR = """image_id,rad_id,class_name,x_min,y_min,x_max,y_max
aa,R10,Cardiomegaly,10,10,40,40
aa,R9,Cardiomegaly,12,11,41,40
aa,R8,Pleural effusion,2,40,12,50
bb,R1,No finding,,,,
bb,R2,No finding,,,,
"""
COCO: dict[str, Any] = {
    "images": [{"id": 1, "file_name": "a.png", "width": 64, "height": 64}, {"id": 2, "file_name": "b.png"}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 7, "bbox": [4, 5, 10, 20], "area": 200, "iscrowd": 0}],
    "categories": [{"id": 7, "name": "nodule", "supercategory": "lesion"}],
}


def films(folder: Path, *names: str) -> None:
    for number, name in enumerate(names):
        Image.new("L", (64, 64), 40 + number).save(folder / name)


def read(root: Path, name: str, content: str, **options: Any) -> list[Case | Drop]:
    (root / name).write_text(content)
    return list(BoxesReader(file=root / name, **options).read())


def cases(root: Path, name: str, content: str, **options: Any) -> list[Case]:
    found = read(root, name, content, **options)
    assert all(isinstance(item, Case) for item in found)
    return [item for item in found if isinstance(item, Case)]


def test_nih_boxes_are_left_top_width_height_and_a_case_has_all_of_its_film(tmp_path: Path) -> None:
    films(tmp_path, "00000013_002.png", "00000032_001.png")
    first, second = cases(tmp_path, "BBox_List_2017.csv", NIH)
    assert [(region.label, region.box) for region in first.regions] == [
        ("Atelectasis", (10.5, 12.0, 18.5, 18.0)),
        ("Effusion", (1, 2, 4, 6)),
    ]
    assert (first.id, first.group, first.answer) == ("00000013_002.png", "00000013", "Atelectasis, Effusion")
    assert (second.group, second.restricted) == ("00000032", True)


def test_the_published_list_of_nih_is_read_whole(shared: Path) -> None:
    part = BoxesReader(file=shared / "data/nih_cxr/BBox_List_2017.csv", missing="skip")
    assert list(part.read()).count(Drop("00013118_008.png", "the image is missing")) == 1
    assert len(list(part.read())) == 880, "984 boxes are on 880 films"


def test_of_vindr_what_several_radiologists_drew_counts_once(tmp_path: Path) -> None:
    films(tmp_path, "aa.png", "bb.jpg")
    first, second = cases(tmp_path, "annotations_train.csv", VINDR)
    assert [(region.label, region.box) for region in first.regions] == [
        ("Cardiomegaly", (10, 10, 40, 40)),
        ("Pleural effusion", (2, 40, 12, 50)),
    ]
    assert (second.regions, second.answer) == ((), "No finding")
    agreed, _ = cases(tmp_path, "annotations_train.csv", VINDR, agreed=True)
    assert [region.label for region in agreed.regions] == ["Cardiomegaly"]


def test_of_vindr_the_test_set_has_no_radiologists_and_the_columns_may_come_in_any_order(tmp_path: Path) -> None:
    films(tmp_path, "aa.png")
    text = "image_id,class_name,class_id,x_min,y_min,x_max,y_max\naa,Nodule,8,1,2,3,4\naa,Nodule,8,1,2,3,4\n"
    (case,) = cases(tmp_path, "annotations_test.csv", text)
    assert [region.box for region in case.regions] == [(1, 2, 3, 4), (1, 2, 3, 4)]


def test_vindrs_films_may_be_dicom(tmp_path: Path) -> None:
    pydicom = pytest.importorskip("pydicom")
    from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid

    film = pydicom.Dataset()
    film.file_meta = pydicom.dataset.FileMetaDataset()
    film.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    film.file_meta.MediaStorageSOPClassUID = film.SOPClassUID = DigitalXRayImageStorageForPresentation
    film.file_meta.MediaStorageSOPInstanceUID = film.SOPInstanceUID = generate_uid()
    film.Rows, film.Columns, film.SamplesPerPixel, film.PhotometricInterpretation = 48, 64, 1, "MONOCHROME2"
    film.BitsAllocated, film.BitsStored, film.HighBit, film.PixelRepresentation = 16, 12, 11, 0
    film.PixelData = np.arange(48 * 64, dtype=np.uint16).tobytes()
    film.save_as(tmp_path / "aa.dicom", enforce_file_format=True)
    (case,) = cases(tmp_path, "a.csv", "image_id,class_name,x_min,y_min,x_max,y_max\naa,Nodule,1,2,3,4\n")
    assert case.image.load().size == (64, 48)


def test_coco_films_without_a_box_are_cases_without_a_region(tmp_path: Path) -> None:
    films(tmp_path, "a.png", "b.png")
    first, second = cases(tmp_path, "boxes.json", json.dumps(COCO), restricted=False)
    assert [(region.label, region.box) for region in first.regions] == [("nodule", (4, 5, 14, 25))]
    assert (second.regions, second.answer, second.restricted) == ((), "No finding", False)


def test_missing_films_are_an_error_or_are_dropped(tmp_path: Path) -> None:
    films(tmp_path, "00000013_002.png")
    with pytest.raises(DataError, match=r"no image 00000032_001\.png; .*data\.missing=skip"):
        read(tmp_path, "b.csv", NIH)
    assert read(tmp_path, "b.csv", NIH, missing="skip")[1] == Drop("00000032_001.png", "the image is missing")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("b.csv", "a,b\n1,2\n", r"b\.csv:1: has neither the columns of NIH"),
        ("b.csv", NIH.replace("30,30,5,5", "30,30,0,5"), r"b\.csv:4: the box of 'Nodule' is empty"),
        ("b.csv", NIH.replace("30,30,5,5", "x,30,5,5"), r"b\.csv:4: 'Bbox \[x' must be a number"),
        ("b.csv", NIH.replace("00000032_001.png", "../x.png"), r"b\.csv:4: .* outside the folder"),
        ("b.json", "[]", r"b\.json: is no COCO file"),
        ("b.json", json.dumps({**COCO, "categories": []}), r"annotations\[0\]: names an image or a category"),
        ("b.json", json.dumps(COCO).replace("[4, 5, 10, 20]", "[4, 5]"), r"annotations\[0\]: 'bbox' must be"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, name: str, content: str, message: str) -> None:
    films(tmp_path, "00000013_002.png", "a.png", "b.png")
    with pytest.raises(DataError, match=message):
        read(tmp_path, name, content)


def write_coco(folder: Path, split: str, count: int, seed: int) -> None:
    """Write films of the phantom with their findings as COCO does."""
    from mmedpo.registry.discovery import load_part, resolve_part
    from mmedpo.registry.kinds import KINDS

    reader: Any = load_part(resolve_part(KINDS["reader"], "phantom"))
    drawn = reader(split=split, images=count, seed=seed, closed_questions=1, open_questions=0, reports=0)
    content: dict[str, Any] = {"images": [], "annotations": [], "categories": []}
    labels: dict[str, int] = {}
    (folder / "films").mkdir(parents=True, exist_ok=True)
    for number, case in enumerate(item for item in drawn.read() if isinstance(item, Case)):
        name = f"{seed}-{number}.png"
        case.image.load().save(folder / "films" / name)
        content["images"].append({"id": number, "file_name": name})
        for region in case.regions:
            left, top, right, bottom = region.box
            kind = labels.setdefault(region.label, len(labels))
            box = [left, top, right - left, bottom - top]
            content["annotations"].append({"id": 0, "image_id": number, "category_id": kind, "bbox": box})
    content["categories"] = [{"id": kind, "name": label} for label, kind in labels.items()]
    (folder / f"{split}-{seed}.json").write_text(json.dumps(content))


@pytest.mark.slow
def test_a_detector_learns_from_boxes_in_the_form_of_coco(tmp_path: Path, mmedpo: Mmedpo) -> None:
    write_coco(tmp_path, "detector", 12, 0)
    write_coco(tmp_path, "detector", 8, 1)
    (tmp_path / "recipe.yaml").write_text("""
output: out
data: {use: phantom, images: 4}
backbone: {use: phantom}
localize: {use: monai-detector, checkpoint: d.safetensors, threshold: 0, learning: {size: 112, width: 8, steps: 4}}
detector:
  train: {use: boxes, file: detector-0.json, images: films}
  validation: {use: boxes, file: detector-1.json, images: films}
disprefer: [{use: lesion-noise}]
score: [{use: detector-confidence}]
""")
    done = mmedpo("detector", "train", "recipe.yaml", "--json")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "d.safetensors").exists()
    assert "validation" in json.loads(done.stdout)
