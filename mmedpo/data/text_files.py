"""Text files as they lie there: UTF-8, plain or gzipped, line by line; what cannot be read is said with its line."""

from __future__ import annotations

import gzip
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from mmedpo.errors import DataError

LONGEST_LINE = 64 * 2**20  # bytes: a row with an image in it has a few of these millions
MOST_WHOLE = 2 * 2**30  # bytes of a text that is read at once, a JSON list for one
MOST_UNPACKED = 2**30  # bytes that a gzipped file may hold: ten times MIMIC-CXR's largest table
MOST_PACKED = 200  # times its size that a gzipped file may unpack to beyond the first megabytes; tables do 3 to 20

_GZIP = b"\x1f\x8b"
_UTF_16 = "is UTF-16 (Excel calls it 'Unicode text'), not UTF-8; save it as 'CSV UTF-8'"
_NO_TEXT = {
    b"\xff\xfe": _UTF_16,
    b"\xfe\xff": _UTF_16,
    b"PK\x03\x04": "is an Excel workbook or another zip, no text; save the sheet as 'CSV UTF-8'",
    b"\xd0\xcf\x11\xe0": "is an old Excel workbook, no text; save the sheet as 'CSV UTF-8'",
    b"PAR1": "is a parquet file, no text; `{use: parquet, file: ..}` reads it",
    b"SQLite format 3": "is a database, no text; write the table out as CSV",
    b"%PDF": "is a PDF, no text",
    _GZIP: "is gzipped twice; unpack it once",
}
_ODD = (
    (stat.S_ISDIR, "is a folder, not a file"),
    (stat.S_ISFIFO, "is a pipe, and data are read more than once; save them as a file"),
    (stat.S_ISSOCK, "is a socket, not a file"),
    (stat.S_ISCHR, "is a device, not a file"),
    (stat.S_ISBLK, "is a device, not a file"),
)


def why_unreadable(file: Path) -> str:
    """Say why a path names no file to read, or return ""; nothing is opened, so that a pipe does not hang."""
    try:
        mode = file.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return "there is no such file"
    except (OSError, ValueError) as error:  # a name that is too long, or has a NUL in it
        return f"cannot be read ({getattr(error, 'strerror', None) or error})"
    return next((why for is_such, why in _ODD if is_such(mode)), "")


def split_lines(text: str) -> list[str]:
    r"""Return a text's lines without their ends. A line ends at \n alone: U+2028, U+0085 and the like are text."""
    lines = text.split("\n")
    return lines if lines[-1] else lines[:-1]


def text_lines(file: Path) -> Iterator[str]:
    r"""Yield a file's lines with their ends, which are \n alone; no more than one is in memory. Raises DataError."""
    for number, line in enumerate(_read_lines(file), start=1):
        yield _decode(file, line, number)


def file_text(file: Path) -> str:
    """Return a UTF-8 file's text, with or without byte order mark, gzipped or not. Raises DataError."""
    with _open(file) as (stream, packed):
        if (size := file.stat().st_size) > MOST_WHOLE:
            raise DataError(f"{file}: has {size:,} bytes, and is read at once; a file with a line a row can be larger")
        content = bytearray()
        while some := stream.read(2**20):
            content += some
            _require_bearable(file, len(content), packed)
    _require_text(file, content[:64])
    return _decode(file, content, 1)


def _read_lines(file: Path) -> Iterator[bytes]:
    seen = number = 0
    with _open(file) as (stream, packed):
        while line := stream.readline(LONGEST_LINE + 1):
            number += 1
            seen += len(line)
            if number == 1:
                _require_text(file, line[:64])
            _require_bearable(file, seen, packed)
            if len(line) > LONGEST_LINE:
                raise DataError(f"{file}:{number}: the line is longer than {LONGEST_LINE // 2**20} MB; is it a table?")
            yield line


@contextmanager
def _open(file: Path) -> Iterator[tuple[BinaryIO, BinaryIO | None]]:
    """Open a file, and what it is packed in where its first bytes say that it is; explain what goes wrong meanwhile."""
    if why := why_unreadable(file):
        raise DataError(f"{file}: {why}")
    try:
        with file.open("rb") as plain:
            packed = plain.read(2) == _GZIP
            plain.seek(0)
            if file.suffix == ".gz" and not packed:
                raise DataError(f"{file}: is not gzipped, or damaged; if it is plain text, take the .gz off its name")
            yield (cast(BinaryIO, gzip.GzipFile(fileobj=plain)), plain) if packed else (plain, None)
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise DataError(f"{file}: cannot be unpacked ({error}); it is cut short or damaged: get it again") from None
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror or error})") from None


def _require_bearable(file: Path, unpacked: int, packed: BinaryIO | None) -> None:
    """Refuse on the way what unpacks to more than memory and patience hold."""
    if packed is None:
        return
    if unpacked > MOST_UNPACKED:
        most = f"more than {MOST_UNPACKED // 2**20:,} MB"
    elif unpacked > 2**21 and unpacked > MOST_PACKED * packed.tell():
        most = f"{MOST_PACKED} times its size, as no table does,"
    else:
        return
    raise DataError(f"{file}: holds {most} when unpacked; if that is right, gunzip it first")


def _require_text(file: Path, head: bytes | bytearray) -> None:
    """Raise DataError for what is known by its first bytes, with what to do about it."""
    why = next((why for mark, why in _NO_TEXT.items() if head.startswith(mark)), "")
    if not why and head.count(0) * 3 > len(head):  # of UTF-16, Latin letters have a zero byte each
        why = _UTF_16 if any(head) else "holds zeros, no text"
    if why:
        raise DataError(f"{file}: {why}")


def _decode(file: Path, content: bytes | bytearray, line: int) -> str:
    try:
        return content.decode("utf-8-sig" if line == 1 else "utf-8")
    except UnicodeDecodeError as error:
        line += content.count(b"\n", 0, error.start)
        column = error.start - content.rfind(b"\n", 0, error.start)
        wrong = content[error.start : error.start + 1]
        old = wrong.decode("cp1252", errors="ignore")
        hint = f"; in Windows-1252 it is {old!r}: save the file as UTF-8" if old else "; save the file as UTF-8"
        raise DataError(f"{file}:{line}:{column}: the byte 0x{wrong.hex()} is not UTF-8{hint}") from None
