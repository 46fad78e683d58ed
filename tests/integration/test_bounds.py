"""Each door of the data refuses a file that would fill the memory, and one that leads out of its folder, in a line."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dicom_films import pydicom, write
from mmedpo_plugins.dicom.film import film_ref
from mmedpo_plugins.dicom.header import read_header
from mmedpo_plugins.localizers.heat.maps import read_map
from mmedpo_plugins.readers.hf_dataset import HfDatasetReader
from mmedpo_plugins.tabular.parquet import parquet_rows
from PIL import Image

from mmedpo import MOST_PIXELS, DataError
from mmedpo.core.images import read_image
from mmedpo.data import json_rows
from mmedpo.data.text_files import MOST_WHOLE

Door = tuple[Callable[[Path], Path], Callable[[Path], Any], str]


def sparse(path: Path, head: bytes, size: int) -> Path:
    """Write a file that takes no room on the disk."""
    path.write_bytes(head)
    os.truncate(path, size)
    return path


def large_map(folder: Path) -> Path:
    np.lib.format.open_memmap(folder / "a.npy", "w+", np.dtype(np.uint8), (1, MOST_PIXELS + 1)).flush()
    return folder / "a.npy"


def pages(folder: Path) -> Path:
    page = Image.new("L", (8, 8))
    page.save(folder / "a.tiff", save_all=True, append_images=[page] * 300)
    return folder / "a.tiff"


def packed_column(folder: Path) -> Path:
    pq.write_table(pa.table({"question": ["a", "x" * 70_000_000]}), folder / "a.parquet", compression="zstd")
    return folder / "a.parquet"


def deflated(folder: Path) -> Path:
    film = pydicom.dcmread(write(folder / "a.dcm"))
    film.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
    film.save_as(folder / "a.dcm")
    return folder / "a.dcm"


DOORS: dict[str, Door] = {
    "a JSON list": (lambda at: sparse(at / "a.json", b"[", MOST_WHOLE + 1), json_rows, r"a\.json: has \S+ bytes"),
    "a heat map": (large_map, read_map, r"a\.npy: is too large: 64,000,001 numbers; at most 64,000,000 are read"),
    "pages": (pages, read_image, r"a\.tiff: holds several pictures; save the one that is meant"),
    "a packed column": (packed_column, lambda at: list(parquet_rows(at)), r"'question' unpacks to 200 times its size"),
    "frames": (
        lambda at: write(at / "a.dcm", np.zeros((24, 8), np.uint8), Rows=8, NumberOfFrames=3),
        lambda at: film_ref(at).load(),
        r"a\.dcm: has 3 frames; save the frame that is meant",
    ),
    "samples": (
        lambda at: write(at / "a.dcm", SamplesPerPixel=60_000),
        lambda at: film_ref(at).load(),
        r"a\.dcm: has 60000 samples a pixel",
    ),
    "a deflated film": (deflated, read_header, r"a\.dcm: is deflated as a whole, .* dcmconv"),
}


@pytest.mark.parametrize(("make", "open_file", "told"), DOORS.values(), ids=DOORS)
def test_what_would_fill_the_memory_is_refused(
    make: Callable[[Path], Path], open_file: Callable[[Path], Any], told: str, tmp_path: Path
) -> None:
    file = make(tmp_path)
    with pytest.raises(DataError, match=told):
        open_file(file)


def test_values_that_many_rows_share_are_unpacked_a_few_rows_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmedpo_plugins.tabular.parquet.MOST_BATCH", 50_000)
    datasets.disable_progress_bars()
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    columns = {"question": ["x" * 20_000] * 9, "answer": ["yes"] * 9, "image": ["a.png"] * 9}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet", store_schema=False)
    counts: list[int] = []
    ask = pq.ParquetFile.iter_batches

    def iter_batches(table: Any, batch_size: int) -> Any:
        counts.append(batch_size)
        return ask(table, batch_size)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", iter_batches)
    assert len(list(parquet_rows(tmp_path / "a.parquet"))) == 9
    assert counts == [2]

    load = datasets.load_dataset
    monkeypatch.setattr(datasets, "load_dataset", lambda *a, **how: counts.append(how["batch_size"]) or load(*a, **how))
    assert len(list(HfDatasetReader(path=str(tmp_path)).read())) == 9
    assert counts == [2, 2]


def card(data_files: Any) -> Callable[[Path], None]:
    """Let a folder's card name its data."""
    configs = json.dumps([{"config_name": "default", "data_files": data_files}])
    return lambda folder: (folder / "README.md").write_text(f"---\nconfigs: {configs}\n---\n") and None


def saved_elsewhere(folder: Path) -> None:
    datasets.Dataset.from_dict({"image": ["a.png"], "question": ["?"], "answer": ["!"]}).save_to_disk(str(folder))
    state = json.loads((folder / "state.json").read_text())
    os.replace(folder / state["_data_files"][0]["filename"], folder.parent / "out.arrow")
    (folder / "state.json").write_text(json.dumps({**state, "_data_files": [{"filename": "../out.arrow"}]}))


@pytest.mark.parametrize(
    "prepare",
    [
        card("../out.csv"),
        card({"train": ["*.csv", "/etc/*.csv"]}),
        card("https://localhost:1/out.csv"),
        lambda folder: (folder / "train.csv").symlink_to(folder.parent / "out.csv"),
        saved_elsewhere,
        lambda folder: (folder / "dataset_dict.json").write_text('{"splits": ["../out"]}'),
    ],
)
def test_a_data_set_that_names_files_out_of_its_folder_is_refused(
    prepare: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    datasets.disable_progress_bars()
    folder = tmp_path / "set"
    folder.mkdir()
    for place in (folder, tmp_path):
        Image.new("L", (8, 8)).save(place / "a.png")
    (tmp_path / "out.csv").write_text("image,question,answer\na.png,?,!\n")
    prepare(folder)
    with pytest.raises(DataError, match=r"which is not in the folder"):
        list(HfDatasetReader(path=str(folder)).read())
