"""Whatever the bytes of a data set's files are, each built-in reader reads them or refuses them with their place."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fuzzing import damaged, fuzz
from hypothesis import given
from hypothesis import strategies as st
from mmedpo_plugins.readers.boxes import BoxesReader
from mmedpo_plugins.readers.iu_xray import IuXrayReader
from mmedpo_plugins.readers.mimic_cxr import MimicCxrReader
from mmedpo_plugins.readers.pairs.pairs import PairsReader
from mmedpo_plugins.readers.slake.slake import SlakeReader
from mmedpo_plugins.readers.tables import ParquetReader
from mmedpo_plugins.readers.vqa_rad import VqaRadReader
from PIL import Image

from mmedpo import Case, DataError, Drop, Pair, Reader, Remark

FILM = "1.png"
ASKED = {"question": "Is there a mass?", "answer": "Yes", "answer_type": "CLOSED"}
VQA_RAD = {"qid": "0", "image_name": FILM, "image_organ": "HEAD", "phrase_type": "freeform", **ASKED}
SLAKE = {"img_id": 1, "img_name": "xmlab1/source.jpg", "q_lang": "en", "qid": 0, **ASKED}
STUDY = {"id": "CXR1_IM-1", "report": "Clear.", "image_path": [FILM], "split": "train"}
COCO = {
    "images": [{"id": 1, "file_name": FILM, "width": 8, "height": 8}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 7, "bbox": [1, 1, 4, 5], "area": 20, "iscrowd": 0}],
    "categories": [{"id": 7, "name": "nodule"}],
}
NIH = "Image Index,Finding Label,Bbox [x,y,w,h],,,\n1.png,Mass,1,2,3,4,,,\n"
PAIR = {"image": FILM, "question": "Is there a mass?", "chosen": "No", "rejected": "Yes", "weight": 1.0}
REPORT = " FINAL REPORT\n EXAMINATION: CHEST\n FINDINGS:\n Clear.\n IMPRESSION:\n None.\n"
SPLIT = "dicom_id,study_id,subject_id,split\nd1,50414267,10000032,train\n"
VIEWS = "dicom_id,subject_id,study_id,ViewPosition,Rows\nd1,10000032,50414267,PA,8\n"


def parquet() -> bytes:
    """Return a small table with a case."""
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist([{"image": FILM, "question": "Is it?", "answer": "Yes", "n": 1.5}]), sink)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def as_json(value: Any) -> bytes:
    return json.dumps(value).encode()


#: what is damaged -> its bytes, what else the folder has, and the reader of the folder
SETS: dict[str, tuple[bytes, dict[str, bytes], Callable[[Path], Reader]]] = {
    "cases.parquet": (parquet(), {}, lambda root: ParquetReader(file=root / "cases.parquet")),
    "VQA_RAD Dataset Public.json": (as_json([VQA_RAD]), {}, lambda root: VqaRadReader(root=root, missing="skip")),
    "train.json": (as_json([SLAKE]), {}, lambda root: SlakeReader(root=root)),
    "imgs/xmlab1/detection.json": (
        as_json([{"Liver": [1, 1, 4, 5]}, {"Lung": [0, 0, 0, 5]}]),
        {"train.json": as_json([SLAKE])},
        lambda root: SlakeReader(root=root),
    ),
    "annotation.json": (
        as_json({"train": [STUDY], "val": [], "test": []}), {}, lambda root: IuXrayReader(root=root, missing="skip")
    ),
    "boxes.json": (as_json(COCO), {}, lambda root: BoxesReader(file=root / "boxes.json")),
    "BBox_List_2017.csv": (NIH.encode(), {}, lambda root: BoxesReader(file=root / "BBox_List_2017.csv")),
    "files/p10/p10000032/s50414267.txt": (
        REPORT.encode(),
        {"mimic-cxr-2.0.0-split.csv": SPLIT.encode(), "mimic-cxr-2.0.0-metadata.csv": VIEWS.encode()},
        lambda root: MimicCxrReader(root=root),
    ),
    "mimic-cxr-2.0.0-metadata.csv.gz": (
        gzip.compress(VIEWS.encode(), mtime=0),
        {"mimic-cxr-2.0.0-split.csv": SPLIT.encode(), "files/p10/p10000032/s50414267.txt": REPORT.encode()},
        lambda root: MimicCxrReader(root=root),
    ),
    "pairs.jsonl": (as_json(PAIR), {}, lambda root: PairsReader(root=root)),
    "pairs.json": (as_json([PAIR]), {}, lambda root: PairsReader(root=root)),
}  # fmt: skip


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Lay out a folder a set, with films wherever a reader looks for them."""
    made = {}
    for number, (name, (content, beside, _)) in enumerate(SETS.items()):
        made[name] = root = tmp_path_factory.mktemp(f"set{number}")
        for path, written in {**beside, name: content}.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(written)
        study = root / "files/p10/p10000032/s50414267"
        for film in (root / FILM, root / "images" / FILM, root / "imgs/xmlab1/source.jpg", study / "d1.jpg"):
            film.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (8, 8), 9).save(film)
    return made


@pytest.mark.parametrize("name", SETS)
def test_whole_files_are_read(name: str, folders: dict[str, Path]) -> None:
    folder, (content, _, make) = folders[name], SETS[name]
    (folder / name).write_bytes(content)
    assert any(isinstance(item, Case | Pair) for item in make(folder).read())


@pytest.mark.parametrize("name", SETS)
@fuzz(25)
@given(data=st.data())
def test_a_damaged_file_is_read_or_refused_with_its_place(
    name: str, folders: dict[str, Path], data: st.DataObject
) -> None:
    folder, (content, _, make) = folders[name], SETS[name]
    (folder / name).write_bytes(data.draw(damaged(content)))
    items, refused = read(make(folder))
    assert all(isinstance(item, Case | Pair | Drop | Remark) for item in items)
    if refused:
        assert str(folder) in refused
        assert all(len(line) < 1500 for line in refused.split("\n"))


def test_a_column_whose_name_is_no_text_is_refused(folders: dict[str, Path]) -> None:
    content, _, make = SETS["cases.parquet"]
    (folders["cases.parquet"] / "cases.parquet").write_bytes(content.replace(b"question", b"\x80uestion"))
    assert "cannot be read as parquet" in read(make(folders["cases.parquet"]))[1]


def read(reader: Reader) -> tuple[list[Any], str]:
    """Return what is read, or why it is refused; nothing else may be raised."""
    try:
        return list(reader.read()), ""
    except DataError as error:
        return [], str(error)
