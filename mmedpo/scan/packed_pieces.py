"""Texts out of files of records and of files: SQLite, parquet, gzip, zip."""

from __future__ import annotations

import gzip
import io
import json
import sqlite3
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import IO, Any

from mmedpo.scan.identifier import FileText
from mmedpo.scan.text_pieces import Inner, walk_json

LARGEST = 2**28  # bytes that a file within a file may have unpacked


def read_database(path: Path) -> Iterator[FileText]:
    """Yield what the rows of a database hold, a journal's packed JSON unpacked. Raises ValueError for a broken one."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
            database.text_factory = lambda content: content.decode("utf-8", "replace")
            tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            for table in tables:
                yield from _read_rows(database, table)
    except sqlite3.Error as error:
        raise ValueError(f"is a broken database ({error})") from error


def _read_rows(database: sqlite3.Connection, table: str) -> Iterator[FileText]:
    quoted = table.replace('"', '""')
    rows = database.execute(f'SELECT * FROM "{quoted}"')
    names = [column[0] for column in rows.description]
    for number, row in enumerate(rows, 1):
        for name, value in zip(names, row, strict=True):
            yield from _read_value(value, f"{table}, row {number:,}, {name}", name)


def _read_value(value: Any, place: str, name: str) -> Iterator[FileText]:
    if isinstance(value, bytes):
        try:
            unpacked = zlib.decompressobj().decompress(value, LARGEST)
        except zlib.error:
            unpacked = value
        text = unpacked.decode("utf-8", "replace")
        try:
            yield from walk_json(json.loads(text), place)
        except (ValueError, RecursionError):
            yield FileText(place, text, name)
    elif isinstance(value, str | int):
        yield FileText(place, str(value), name)


def read_parquet(stream: IO[bytes], inner: Inner) -> Iterator[FileText]:
    """Yield the values of a parquet file, batch by batch; images in it are read as the files that they are."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(stream)
        for key, value in (file.schema_arrow.metadata or {}).items():
            yield FileText("schema", value.decode("utf-8", "replace"), key.decode("utf-8", "replace"))
        number = 0
        for batch in file.iter_batches(256):
            for row in batch.to_pylist():
                number += 1
                yield from _walk_row(row, f"row {number:,}", "", inner)
    except pa.ArrowException as error:
        raise ValueError(f"is a broken parquet file ({str(error)[:200]})") from error


def _walk_row(value: Any, place: str, name: str, inner: Inner) -> Iterator[FileText]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _walk_row(item, f"{place}, {key}", key, inner)
    elif isinstance(value, list):
        for item in value:
            yield from _walk_row(item, place, name, inner)
    elif isinstance(value, bytes):
        yield from inner(value, place)
    elif value is not None and not isinstance(value, bool | float):
        yield FileText(place, str(value), name)


def read_gzip(stream: IO[bytes], inner: Inner) -> Iterator[FileText]:
    """Yield the texts of the file that is packed. Raises ValueError for a broken or a huge one."""
    try:
        yield from inner(_read_bounded(gzip.GzipFile(fileobj=stream)), "unpacked")
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"is a broken gzip file ({error})") from error


def read_zip(stream: IO[bytes], inner: Inner) -> Iterator[FileText]:
    """Yield the names and the texts of the files in an archive. Raises ValueError for a broken or a huge one."""
    try:
        with zipfile.ZipFile(stream) as archive:
            for member in archive.infolist():
                yield FileText("name in the archive", member.filename)
                with archive.open(member) as file:
                    yield from inner(_read_bounded(file), member.filename)
    except (zipfile.BadZipFile, OSError, EOFError, zlib.error, NotImplementedError, RuntimeError) as error:
        raise ValueError(f"is an archive that cannot be read ({error})") from error


def _read_bounded(file: Any) -> bytes:
    content: bytes = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise ValueError(f"holds a file of more than {LARGEST // 2**20} MiB, which is not unpacked")
    return content


def as_stream(content: bytes) -> IO[bytes]:
    """Return a file within a file as a file."""
    return io.BytesIO(content)
