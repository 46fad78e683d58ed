"""Texts beside the pixels of images: chunks of PNG, EXIF, comments, what follows the end; all tags of DICOM."""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Iterator
from typing import IO, Any

from mmedpo.errors import first_line
from mmedpo.scan.identifier import FileText
from mmedpo.scan.text_pieces import read_strings

MOST_TEXT = 2**20  # bytes of a text of an image
PNG = b"\x89PNG\r\n\x1a\n"
IMAGES = (PNG, b"\xff\xd8\xff", b"GIF8", b"II*\0", b"MM\0*", b"BM", b"RIFF")
DICOM = b"DICM"
_IFDS = {"Exif": 0x8769, "GPS": 0x8825, "Interop": 0xA005}


def read_image(stream: IO[bytes]) -> Iterator[FileText]:
    """Yield the texts of an image file; its pixels are not looked at."""
    begin = stream.read(8)
    stream.seek(0)
    if begin == PNG:
        yield from _read_png(stream)
        stream.seek(0)
    yield from _read_tags(stream, png=begin == PNG)


def _read_png(stream: IO[bytes]) -> Iterator[FileText]:
    """Yield the chunks of text of a PNG file, and what stands behind its end."""
    stream.seek(len(PNG))
    while len(head := stream.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        if kind in (b"tEXt", b"zTXt", b"iTXt"):
            yield from _read_chunk(kind, stream.read(min(length, MOST_TEXT)))
            stream.seek(max(length - MOST_TEXT, 0) + 4, 1)
        elif kind == b"IEND":
            stream.seek(length + 4, 1)
            break
        else:
            stream.seek(length + 4, 1)
    for piece in read_strings(stream):
        yield FileText("behind the end of the image", piece.text)


def _read_chunk(kind: bytes, content: bytes) -> Iterator[FileText]:
    key, _, rest = content.partition(b"\0")
    packed = kind == b"zTXt" or (kind == b"iTXt" and rest[:1] == b"\1")
    if kind == b"iTXt":
        rest = rest[2:].partition(b"\0")[2].partition(b"\0")[2]
    elif packed:
        rest = rest[1:]
    if packed:
        try:
            rest = zlib.decompressobj().decompress(rest, MOST_TEXT)
        except zlib.error:
            rest = b""
    name = key.decode("latin-1")
    try:
        text = rest.decode("utf-8")
    except UnicodeDecodeError:
        text = rest.decode("latin-1")
    yield FileText(f"{kind.decode()} {name}", text, name)


def _read_tags(stream: IO[bytes], png: bool) -> Iterator[FileText]:
    """Yield EXIF's tags, XMP and comments as Pillow reads them. Raises ValueError where it reads no image."""
    from PIL import ExifTags, Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(stream)
            exif, told = image.getexif(), dict(image.info)
    except Exception as error:  # decoders raise all kinds
        raise ValueError(f"is a broken image ({first_line(error)})") from error
    for key, value in told.items():
        if key not in ("exif", "icc_profile") and not (png and isinstance(value, str)):
            yield from _tag_text(str(key), value)
    yield from (piece for tag, value in exif.items() for piece in _tag_text(ExifTags.TAGS.get(tag, str(tag)), value))
    for name, number in _IFDS.items():
        names = ExifTags.GPSTAGS if name == "GPS" else ExifTags.TAGS
        for tag, value in exif.get_ifd(number).items():
            yield from _tag_text(f"{name} {names.get(tag, tag)}", value)


def _tag_text(name: str, value: Any) -> Iterator[FileText]:
    if isinstance(value, bytes):
        wide = name.startswith("XP") or value[1:8:2] == b"\0" * len(value[1:8:2])
        value = value.decode("utf-16-le" if wide and value else "utf-8", "replace").strip("\0")
    if isinstance(value, str):
        value = _as_utf8(value)
    if isinstance(value, str | tuple | int):
        yield FileText(f"tag {name}", str(value), name)


def _as_utf8(text: str) -> str:
    """Return a text that was read as Latin-1 as the UTF-8 that it is, if it is that."""
    try:
        return text.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return text


def read_dicom(stream: IO[bytes]) -> Iterator[FileText]:
    """Yield all tags of a DICOM file but the pixels, nested ones too."""
    try:
        import pydicom
    except ImportError:
        yield from read_strings(stream)
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            film = pydicom.dcmread(stream, stop_before_pixels=True, force=True)
            yield from (FileText(f"tag {name}", value, name) for name, value in walk_tags(film))
    except Exception as error:  # whatever a broken file makes the parser stumble over
        raise ValueError(f"is a broken DICOM file ({type(error).__name__}: {first_line(error)})") from error


def walk_tags(film: Any) -> Iterator[tuple[str, str]]:
    """Yield the keywords and values of a data set's elements that are texts, the file's own head among them."""
    for element in [*getattr(film, "file_meta", ()), *film.iterall()]:
        if element.VR not in ("SQ", "OB", "OW", "OF", "OD", "OL", "OV", "UN") and not element.is_empty:
            values = element.value if element.VM > 1 else [element.value]
            yield from ((element.keyword or str(element.tag), str(value)) for value in values)
