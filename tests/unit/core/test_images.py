"""Every kind of image file gives the right pixels, or one error that names the file and the case."""

from __future__ import annotations

import os
import re
import resource
import struct
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmedpo import DataError, ImageRef
from mmedpo.store.journal import Journal

GREYS = np.arange(48, dtype=np.uint8).reshape(6, 8) * 5


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "film.png"


def loaded(path: Path) -> Image.Image:
    return ImageRef.at(path).load()


def refused(path: Path, why: str) -> None:
    with pytest.raises(DataError, match=rf"{re.escape(path.name)}: {why}"):
        loaded(path)


@pytest.mark.parametrize("mode", ["L", "RGB", "1", "LA", "RGBA", "P", "CMYK", "I;16", "I", "F", "YCbCr"])
def test_every_mode_becomes_grey_or_colour_of_eight_bits(mode: str, tmp_path: Path) -> None:
    Image.new(mode, (6, 5)).save(tmp_path / "film.tiff")
    image = loaded(tmp_path / "film.tiff")
    assert image.mode in ("L", "RGB")
    assert image.size == (6, 5)


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_a_16_bit_film_is_scaled_by_its_own_range(suffix: str, tmp_path: Path) -> None:
    values = np.array([[1000, 2000], [3000, 5000]], dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / f"film.{suffix}")
    image = loaded(tmp_path / f"film.{suffix}")
    assert (image.mode, np.asarray(image).tolist()) == ("L", [[0, 64], [128, 255]])


def test_a_16_bit_film_of_one_grey_is_black(path: Path) -> None:
    Image.fromarray(np.full((2, 2), 900, dtype=np.uint16)).save(path)
    assert np.asarray(loaded(path)).max() == 0


def test_a_float_image_with_a_pixel_that_is_no_number_is_refused(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, np.nan]], dtype=np.float32)).save(tmp_path / "film.tiff")
    refused(tmp_path / "film.tiff", "is broken .*no finite number")


def test_a_palette_gives_its_colours(path: Path) -> None:
    colours = Image.new("RGB", (2, 1))
    colours.putdata([(200, 10, 20), (3, 4, 5)])
    colours.quantize(4).save(path)
    assert Image.open(path).mode == "P"
    assert np.asarray(loaded(path)).tolist() == [[[200, 10, 20], [3, 4, 5]]]


def test_cmyk_gives_the_colours_that_were_printed(tmp_path: Path) -> None:
    Image.new("RGB", (16, 16), (250, 30, 60)).convert("CMYK").save(tmp_path / "film.jpg", quality=100)
    image = loaded(tmp_path / "film.jpg")
    assert image.mode == "RGB"
    assert np.abs(np.asarray(image).astype(int)[8, 8] - [250, 30, 60]).max() <= 4


@pytest.mark.parametrize(("mode", "pixel", "seen"), [("RGBA", (200, 100, 50, 0), (0, 0, 0)), ("LA", (200, 0), 0)])
def test_what_is_transparent_lies_on_black(mode: str, pixel: tuple[int, ...], seen: object, path: Path) -> None:
    Image.new(mode, (2, 2), pixel).save(path)
    assert loaded(path).getpixel((0, 0)) == seen
    Image.new(mode, (2, 2), (*pixel[:-1], 255)).save(path)
    assert loaded(path).getpixel((0, 0)) == (pixel[:-1] if mode == "RGBA" else pixel[0])


def test_a_transparent_colour_of_a_palette_lies_on_black(path: Path) -> None:
    palette = Image.new("P", (2, 1), 0)
    palette.putpalette([250, 250, 250, 9, 8, 7])
    palette.putpixel((1, 0), 1)
    palette.save(path, transparency=0)
    assert np.asarray(loaded(path)).tolist() == [[[0, 0, 0], [9, 8, 7]]]


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_a_film_that_the_camera_turned_is_upright(orientation: int, path: Path) -> None:
    turned = {3: np.rot90(GREYS, 2), 6: np.rot90(GREYS, 1), 8: np.rot90(GREYS, -1)}[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(turned)).save(path, exif=exif)
    assert np.array_equal(np.asarray(loaded(path)), GREYS)


@pytest.mark.parametrize("content", [b"", b"not an image", b"\x89PNG\r\n\x1a\n truncated"])
def test_a_file_that_is_no_image_is_refused(content: bytes, path: Path) -> None:
    path.write_bytes(content)
    refused(path, "is (no image|broken or truncated)")


@pytest.mark.parametrize("form", ["PNG", "JPEG", "TIFF"])
def test_a_truncated_image_is_refused(form: str, path: Path) -> None:
    file = BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    Image.fromarray(noise).save(file, format=form)
    path.write_bytes(file.getvalue()[: len(file.getvalue()) // 2])
    refused(path, "is (no image|broken or truncated)")


def test_a_file_of_several_pictures_is_refused(tmp_path: Path) -> None:
    pages = [Image.new("L", (4, 4), grey) for grey in (1, 2, 3)]
    pages[0].save(tmp_path / "film.tiff", save_all=True, append_images=pages[1:])
    refused(tmp_path / "film.tiff", "holds several pictures")


@pytest.mark.parametrize(("width", "height"), [(20_000, 20_000), (9_000, 9_000)])
def test_a_huge_image_is_refused_before_its_pixels_fill_the_memory(width: int, height: int, path: Path) -> None:
    path.write_bytes(blank_png(width, height))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused(path, "is too large: .*at most 64,000,000 can be read; scale it down")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000, "kB"


def blank_png(width: int, height: int) -> bytes:
    """Return a whole, valid PNG that is small as a file and huge as an image."""
    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(width + 1)) for _ in range(height)) + packer.flush()
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", rows), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )


def test_an_image_within_another_file_is_read_and_named(path: Path) -> None:
    file = BytesIO()
    Image.fromarray(GREYS).save(file, format="PNG")
    assert np.array_equal(np.asarray(ImageRef.encoded(file.getvalue(), "row 3").load()), GREYS)
    with pytest.raises(DataError, match="row 4: is no image"):
        ImageRef.encoded(b"xyz", "row 4").load()


def exif_film(path: Path, turned: int, broken: bytes) -> Path:
    """Write a JPEG of a film that lies on its side, whose EXIF has an orientation and a tag that is broken."""
    entries = [struct.pack("<HHII", 0x0112, 3, 1, turned), struct.pack("<HH", 0x8298, 2) + broken]
    ifd = struct.pack("<H", len(entries)) + b"".join(entries) + struct.pack("<I", 0)
    block = b"Exif\0\0" + b"II*\0" + struct.pack("<I", 8) + ifd
    whole = BytesIO()
    Image.fromarray(np.kron(GREYS, np.ones((4, 4), np.uint8))).save(whole, format="JPEG", quality=95)
    content = whole.getvalue()
    path.write_bytes(content[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + content[2:])
    return path


@pytest.mark.parametrize("turned", [1, 3, 6, 8, 9, 0, 65535])
@pytest.mark.parametrize("broken", [struct.pack("<II", 9, 60_000), struct.pack("<II", 2**31, 8), bytes(8)])
def test_a_tag_of_the_exif_that_is_broken_leaves_the_image_upright(turned: int, broken: bytes, path: Path) -> None:
    sideways = turned in (6, 8)
    assert loaded(exif_film(path, turned, broken)).size == ((24, 32) if sideways else (32, 24))


@pytest.mark.parametrize("block", [b"", b"Exif\0\0", b"Exif\0\0XX", b"Exif\0\0II*\0\xff\xff\xff\x7f", bytes(99)])
def test_an_exif_that_cannot_be_read_at_all_turns_nothing(block: bytes, path: Path) -> None:
    content = exif_film(path, 1, bytes(8)).read_bytes()
    end = 4 + struct.unpack(">H", content[4:6])[0]
    path.write_bytes(content[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + content[end:])
    assert loaded(path).size == (32, 24)


def test_the_shared_images_that_decoders_stumble_over_are_read_or_named(shared: Path) -> None:
    for file in sorted((shared / "cases" / "images").iterdir()):
        if file.suffix in (".jpg", ".webp"):
            assert loaded(file).size == (40, 48)
        else:
            refused(file, "is broken or truncated")


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "it is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "git-lfs pointer.*git lfs pull"),
        (bytes(128) + b"DICM" + bytes(99), "but a DICOM film, .*use: dicom"),
        (b"<!DOCTYPE html><title>Sign in</title>", "but a web page"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", "or of none of the forms .*PNG, JPEG"),
        (b"SIMPLE  =                    T" + bytes(2850), "or of none of the forms"),
    ],
)
def test_what_is_no_image_of_a_film_is_not_opened_and_told_what_it_is(content: bytes, what: str, path: Path) -> None:
    path.write_bytes(content)
    refused(path, f"is no image.*{what}")


def test_no_program_of_the_system_is_started_whatever_a_file_is_called(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("subprocess.Popen", lambda *_, **__: pytest.fail("a program was started"))
    for form in ("EPS", "PDF", "ICNS", "SGI", "PCX", "TGA"):
        Image.new("RGB", (16, 16)).save(path, format=form)
        refused(path, "is no image")


@pytest.mark.parametrize(("make", "what"), [(os.mkfifo, "pipe or device"), (os.mkdir, "folder")])
def test_what_is_no_file_is_refused_and_not_waited_for(make: Callable[[Path], None], what: str, path: Path) -> None:
    make(path)
    refused(path, f"is no file but a {what}")


def test_an_image_that_cannot_be_read_is_named_with_the_row_that_names_it(path: Path) -> None:
    path.write_bytes(b"xyz")
    for look in (ImageRef.load, Journal(path.with_name("journal.sqlite")).adopt):
        with pytest.raises(DataError, match=rf"^vqa\.csv:7: {re.escape(str(path))}: is no image"):
            look(ImageRef.at(path, "vqa.csv:7"))
