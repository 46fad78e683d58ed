"""Whatever the bytes of an image file are, it is an image, or one DataError that names it, within seconds."""

from __future__ import annotations

import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_films import write
from fuzzing import damaged, fuzz
from hypothesis import given
from hypothesis import strategies as st
from mmedpo_plugins.dicom.header import read_header
from mmedpo_plugins.readers.dicom import DicomReader
from PIL import Image

from mmedpo import DataError, ImageRef
from mmedpo.core.images import read_image
from mmedpo.data import ImageFolder, TableRow

HANG = 5.0  # seconds of the processor; a file takes a few milliseconds
NOISE = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
FORMS = {
    "PNG": {},
    "PNG 16": {},
    "PNG P": {"transparency": 0},
    "JPEG": {"quality": 80},
    "JPEG progressive": {"progressive": True},
    "TIFF": {},
    "TIFF deflate": {"compression": "tiff_adobe_deflate"},
    "WEBP": {"lossless": True},
    "AVIF": {},
    "JPEG2000": {},
    "BMP": {},
    "GIF": {},
    "PPM": {},
}


def whole(form: str) -> bytes:
    """Return a good file, with an EXIF that turns it where the form has one."""
    image = Image.fromarray(NOISE)
    if form == "PNG 16":
        image = Image.fromarray(NOISE[..., 0].astype(np.uint16) * 250)
    if form == "PNG P":
        image = image.quantize(16)
    exif = Image.Exif()
    exif[0x0112], exif[0x010E], exif[0x011A] = 6, "a film", 72.0
    kind, more = form.partition(" ")[0], dict(FORMS[form])
    if kind in ("PNG", "JPEG", "WEBP", "AVIF", "TIFF"):
        more["exif"] = exif
    file = BytesIO()
    image.save(file, format=kind, **more)
    return file.getvalue()


def said(work: Callable[[], Any]) -> str:
    """Return what a DataError says of a file, or "" when there is none. No work takes longer than a hang may."""
    begun, told = time.process_time(), ""
    try:
        work()
    except DataError as error:
        told = str(error)
    assert time.process_time() - begun < HANG
    return told


def read_or_named(path: Path, read: Callable[[], Image.Image]) -> None:
    """Read a file: it is an L or RGB image, or one error of bearable length names it."""

    def look() -> None:
        image = read()
        assert image.mode in ("L", "RGB")
        image.tobytes()

    if told := said(look):
        assert path.name in told
        assert len(told) < 600 + len(str(path))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", FORMS)
@fuzz(120)
@given(data=st.data())
def test_a_damaged_image_is_read_or_named(form: str, data: st.DataObject, tmp_path: Path) -> None:
    path = tmp_path / "film.png"
    path.write_bytes(data.draw(damaged(whole(form))))
    read_or_named(path, lambda: read_image(path))


@pytest.fixture(scope="module")
def dicom(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    tags = {"WindowCenter": [40, 0], "WindowWidth": [400, 9], "RescaleSlope": 1, "RescaleIntercept": -5}
    return write(tmp_path_factory.mktemp("dicom") / "film.dcm", **tags).read_bytes()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("begin", [0, 132])
@fuzz(120)
@given(data=st.data())
def test_a_damaged_dicom_film_is_read_or_named(begin: int, data: st.DataObject, dicom: bytes, tmp_path: Path) -> None:
    path = tmp_path / "film.dcm"
    path.write_bytes(dicom[:begin] + data.draw(damaged(dicom[begin:])))

    def read() -> Image.Image:
        read_header(path)
        return DicomReader(root=tmp_path).picture(path).load()

    read_or_named(path, read)


@pytest.mark.filterwarnings("ignore")
@fuzz(120)
@given(content=st.binary(max_size=400), magic=st.sampled_from([*map(whole, FORMS), b"%!PS-Adobe", b"GIF89a", b""]))
def test_bytes_behind_any_beginning_are_read_or_named(content: bytes, magic: bytes, tmp_path: Path) -> None:
    path = tmp_path / "film.png"
    path.write_bytes(magic[:16] + content)
    read_or_named(path, ImageRef.at(path).load)


@fuzz(120)
@given(name=st.text(st.characters(), max_size=30) | st.text(min_size=250, max_size=5000))
def test_any_name_is_found_missing_or_refused_with_its_row(name: str, tmp_path: Path) -> None:
    images = ImageFolder([tmp_path])
    told = said(lambda: list(images.complete([images.find(name, TableRow("vqa.csv:7", {}))])))
    assert told.startswith("vqa.csv:7: ")
    assert told.isprintable()
    assert len(told) < 600 + 3 * len(str(tmp_path))
