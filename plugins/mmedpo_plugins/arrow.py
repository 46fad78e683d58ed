"""Rows of parquet files, and images that are within a row as the Hugging Face libraries write them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from mmedpo import DataError, Picture, Row, shown


def parquet_rows(file: Path) -> Iterator[Row]:
    """Yield the rows of a parquet file, a few at a time. Raises DataError when it is none."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        with pq.ParquetFile(file) as table:
            for batch in table.iter_batches(batch_size=64):
                for values in batch.to_pylist():
                    yield Row(f"{file}: row {number}", values)
                    number += 1
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{file}: cannot be read as parquet ({error})") from error


def embedded(row: Row, key: str) -> Picture:
    """Return the image that a row holds as {"bytes": ..., "path": ...}. Raises DataError when there is none."""
    value = row.values.get(key)
    content = value.get("bytes") if isinstance(value, Mapping) else value
    if not isinstance(content, bytes):
        raise row.wrong(f"{key!r} holds no image but {shown(value)}")
    return Picture.encoded(content, row.place)
