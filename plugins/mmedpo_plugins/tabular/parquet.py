"""Rows of parquet files, and images that are within a row as the Hugging Face libraries write them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from itertools import starmap
from pathlib import Path
from typing import Any

from mmedpo import DataError, ImageRef
from mmedpo.data import TableRow, show_value, why_unreadable

TOGETHER = 64  # rows that are unpacked at once
MOST_BATCH = 2**28  # bytes that they may take
MOST_VALUE = 64 * 2**20  # bytes from which on a column is asked how well it is packed
MOST_PACKED = 200  # times its size that it may unpack to


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
        for batch in table.iter_batches(batch_size=_count_together(file, table.metadata)):
            yield from (batch.slice(at, 1) for at in range(batch.num_rows))


def count_together(files: Iterable[Path]) -> int:
    """Return how many rows of parquet files may be unpacked at once. Raises DataError, also for a hostile column."""
    counts = []
    for file in files:
        with _open_table(file) as table:
            counts.append(_count_together(file, table.metadata))
    return min(counts, default=TOGETHER)


@contextmanager
def _open_table(file: Path) -> Iterator[Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if why := why_unreadable(file):
        raise DataError(f"{file}: {why}")
    try:
        with pq.ParquetFile(file) as table:
            yield table
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:  # the last, of a column's name
        raise DataError(f"{file}: cannot be read as parquet ({error})") from error


def _count_together(file: Path, said: Any) -> int:
    """Return how many rows are unpacked at once, by what a value can be at most where a table of values is stored.

    A row that names a value of such a table takes two bytes of the file, and all of the value in memory. Raises
    DataError for a column that unpacks to more than any data do.
    """
    groups = map(said.row_group, range(said.num_row_groups))
    largest = 1
    for column in (group.column(at) for group in groups for at in range(group.num_columns)):
        size = column.total_uncompressed_size
        if size > MOST_VALUE and size > MOST_PACKED * max(1, column.total_compressed_size):
            told = f"unpacks to {MOST_PACKED} times its size"
            raise DataError(f"{file}: the column {column.path_in_schema!r} {told}, as no data do; write the file anew")
        if column.has_dictionary_page:
            largest = max(largest, size)
    return max(1, min(TOGETHER, MOST_BATCH // largest))


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
