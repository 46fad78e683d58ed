"""Rows of parquet files, and images that are within a row as the Hugging Face libraries write them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from itertools import starmap
from pathlib import Path
from typing import Any

from mmedpo import DataError, ImageRef
from mmedpo.data import TableRow, show_value, why_unreadable


def parquet_rows(file: Path) -> Iterator[TableRow]:
    """Yield the rows of a parquet file, a few at a time. Raises DataError when it is none, and for a row that is none.

    The next row can still be asked for after such an error, so that `collect_rows` tells all of them.
    """
    return starmap(partial(_make_row, file), enumerate(_read_slices(file)))


def parquet_columns(file: Path) -> list[str]:
    """Return the names of a parquet file's columns. Raises DataError when it is none."""
    with _open_table(file) as table:
        return list(table.schema_arrow.names)


def _read_slices(file: Path) -> Iterator[Any]:
    """Yield the rows as Arrow holds them."""
    with _open_table(file) as table:
        for batch in table.iter_batches(batch_size=64):
            yield from (batch.slice(at, 1) for at in range(batch.num_rows))


@contextmanager
def _open_table(file: Path) -> Iterator[Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if why := why_unreadable(file):
        raise DataError(f"{file}: {why}")
    try:
        with pq.ParquetFile(file) as table:
            yield table
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{file}: cannot be read as parquet ({error})") from error


def _make_row(file: Path, number: int, one: Any) -> TableRow:
    place = f"{file}: row {number}"
    try:
        (values,) = one.to_pylist()
    except (ValueError, OverflowError) as error:  # a text that is not UTF-8, a day beyond the calendar
        raise DataError(f"{place}: holds what cannot be read ({error})") from None
    return TableRow(place, values)


def embedded_image(row: TableRow, key: str) -> ImageRef:
    """Return the image that a row holds as {"bytes": ..., "path": ...}. Raises DataError when there is none."""
    return ImageRef.encoded(image_bytes(row, key), row.place)


def image_bytes(row: TableRow, key: str) -> bytes:
    """Return the content of the image that a row holds. Raises DataError when there is none."""
    value = row.values.get(key)
    content = value.get("bytes") if isinstance(value, Mapping) else value
    if not isinstance(content, bytes):
        raise row.wrong(f"{key!r} holds no image but {show_value(value)}")
    return content
