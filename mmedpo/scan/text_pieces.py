"""Texts out of text files, a line or a window of one at a time: JSON by its values, HTML as it is read."""

from __future__ import annotations

import base64
import binascii
import html
import json
import re
from collections.abc import Callable, Iterator
from typing import IO, Any

from mmedpo.scan.identifier import FileText

WINDOW = 2**20  # bytes of a line that are looked at once
OVERLAP = 256  # of them that the next window has again: no identifier is longer
LARGEST_JSON = 2**25  # bytes of a file that is parsed whole; a larger one is read as lines
_DATA_URI = re.compile(rb"data:[\w/+.-]+;base64,([A-Za-z0-9+/=\s]{40,})")
_DRAWN = re.compile(r"""\s(?:d|points|[xy][12]?|c[xy]|r|width|height|viewBox|transform|style)=("[^"]*"|'[^']*')""")
_LETTERS = rb"[\x20-\x7e]|[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}"  # of UTF-8
_READABLE = re.compile(rb"(?:" + _LETTERS + rb"){6,}")

Inner = Callable[[bytes, str], Iterator[FileText]]  # reads a file within a file


def read_windows(stream: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a file with their numbers; of a long one, windows that overlap."""
    number, rest = 1, b""
    while line := stream.readline(WINDOW):
        yield number, rest + line
        whole = line.endswith(b"\n")
        number, rest = number + whole, b"" if whole else line[-OVERLAP:]


def read_text(stream: IO[bytes]) -> Iterator[FileText]:
    """Yield the lines of a text file."""
    for number, line in read_windows(stream):
        yield FileText(f"line {number}", _decode(line))


def read_json(stream: IO[bytes]) -> Iterator[FileText]:
    """Yield the values of a JSON file, or its lines where it is none or a large one."""
    content = stream.read(LARGEST_JSON + 1)
    try:
        if len(content) <= LARGEST_JSON:
            yield from walk_json(json.loads(content), "")
            return
    except (ValueError, RecursionError):
        pass
    stream.seek(0)
    yield from read_text(stream)


def read_json_lines(stream: IO[bytes]) -> Iterator[FileText]:
    """Yield the values of the records of JSON Lines; a line that is none, as it is."""
    for number, line in read_windows(stream):
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            yield FileText(f"line {number}", _decode(line))
        else:
            yield from walk_json(value, f"line {number}")


def walk_json(value: Any, place: str, name: str = "") -> Iterator[FileText]:
    """Yield each text and number within a JSON value, and each key that is more than a word."""
    if isinstance(value, dict):
        for key, item in value.items():
            if not key.isidentifier():
                yield FileText(f"{place}, a key", key)
            yield from walk_json(item, f"{place}, {key}" if place else key, key)
    elif isinstance(value, list):
        for item in value:
            yield from walk_json(item, place, name)
    elif isinstance(value, str):
        yield FileText(place, value, name)
    elif isinstance(value, int) and not isinstance(value, bool) and abs(value) > 999:
        yield FileText(place, str(value), name)


def read_html(stream: IO[bytes], inner: Inner) -> Iterator[FileText]:
    """Yield the lines of a page as they are read, without coordinates; what is packed into it, as the file it is."""
    for number, line in read_windows(stream):
        place = f"line {number}"
        for uri in _DATA_URI.finditer(line):
            yield from _unpack(uri.group(1), place, inner)
        yield FileText(place, html.unescape(_DRAWN.sub(" ", _decode(_DATA_URI.sub(b" ", line)))))


def _unpack(packed: bytes, place: str, inner: Inner) -> Iterator[FileText]:
    try:
        content = base64.b64decode(packed)
    except binascii.Error:
        yield FileText(place, _decode(packed))
    else:
        yield from inner(content, f"{place}, a file within")


def read_strings(stream: IO[bytes]) -> Iterator[FileText]:
    """Yield what can be read in a file that is no text: event files of TensorBoard, pickles, what nobody knows."""
    at, rest = 0, b""
    while block := stream.read(WINDOW):
        for run in _READABLE.finditer(rest + block):
            yield FileText(f"byte {at - len(rest) + run.start():,}", _decode(run.group()))
        at, rest = at + len(block), block[-OVERLAP:]


def _decode(content: bytes) -> str:
    return content.decode("utf-8", "replace")
