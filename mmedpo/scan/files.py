"""A file as texts: what it is by its first bytes, else by its name."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from mmedpo.scan.identifier import FileText
from mmedpo.scan.image_pieces import DICOM, IMAGES, read_dicom, read_image
from mmedpo.scan.packed_pieces import read_database, read_gzip, read_parquet, read_zip
from mmedpo.scan.text_pieces import read_html, read_json, read_json_lines, read_strings, read_text, walk_json

WEIGHTS = (".pt", ".pth", ".bin", ".ckpt", ".gguf", ".npy", ".npz", ".onnx", ".distcp", ".h5", ".msgpack")
SAFETENSORS = ".safetensors"
DEEPEST = 3  # files within files within files
_HEAD = 4096


class WeightsError(ValueError):
    """A file is weights: numbers, with nothing to read."""


def read_texts(path: Path) -> Iterator[FileText]:
    """Yield the texts of a file. Raises WeightsError for weights, ValueError for what is broken, OSError."""
    with path.open("rb") as stream:
        if stream.read(16) == b"SQLite format 3\0":
            yield from read_database(path)
            return
        stream.seek(0)
        yield from _read_stream(stream, path.name.lower(), 0)


def is_weights(name: str) -> bool:
    """Tell whether a file is weights, by its name."""
    return name.lower().endswith(WEIGHTS) and not name.startswith("events.out")


def _read_stream(stream: IO[bytes], name: str, depth: int) -> Iterator[FileText]:
    """Yield the texts of an open file by what it is."""
    head = stream.read(_HEAD)
    stream.seek(0)

    def inner(content: bytes, place: str) -> Iterator[FileText]:
        if depth >= DEEPEST:
            raise ValueError("holds files within files within files")
        for piece in _read_stream(io.BytesIO(content), _inner_name(name, place), depth + 1):
            yield FileText(f"{place}, {piece.place}", piece.text, piece.name)

    if name.endswith(SAFETENSORS):
        yield from _read_safetensors(stream)
    elif is_weights(name):
        raise WeightsError("weights")
    elif head[128:132] == DICOM or name.endswith((".dcm", ".dicom")):
        yield from read_dicom(stream)
    elif head.startswith(IMAGES):
        yield from read_image(stream)
    elif head.startswith(b"PAR1"):
        yield from read_parquet(stream, inner)
    elif head.startswith(b"\x1f\x8b"):
        yield from read_gzip(stream, inner)
    elif head.startswith(b"PK\3\4"):
        yield from read_zip(stream, inner)
    elif not _is_text(head):
        yield from read_strings(stream)
    elif name.endswith((".html", ".htm", ".svg", ".xml")):
        yield from read_html(stream, inner)
    elif name.endswith((".jsonl", ".ndjson")):
        yield from read_json_lines(stream)
    elif name.endswith((".json", ".ipynb")):
        yield from read_json(stream)
    else:
        yield from read_text(stream)


def _inner_name(name: str, place: str) -> str:
    """Return what a file within a file goes by: its own name in an archive, the outer one's without its ending."""
    return name.removesuffix(".gz") if place == "unpacked" else place.lower()


def _is_text(head: bytes) -> bool:
    if b"\0" in head:
        return False
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start > len(head) - 4 or error.start > _HEAD // 2
    return True


def _read_safetensors(stream: IO[bytes]) -> Iterator[FileText]:
    """Yield the texts of the head of a file of weights, which alone are no numbers."""
    try:
        (length,) = struct.unpack("<Q", stream.read(8))
        yield from walk_json(json.loads(stream.read(min(length, 2**25))).get("__metadata__", {}), "head")
    except (struct.error, ValueError, AttributeError, RecursionError) as error:
        raise ValueError("is a broken safetensors file") from error
