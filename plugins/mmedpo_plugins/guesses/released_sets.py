"""Published data sets, known by the files that they come with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmedpo import DataGuess


def guess_released(
    places: Sequence[Path], *files: str, test: Mapping[str, Any] | None = None, **options: Any
) -> DataGuess | None:
    """Return how a published set is read from the first folder that has all these files; None where there is none.

    `test` is what differs of the cases that it is measured on, `options` what is told beside the folder.
    """
    folders = (place for place in places if place.is_dir())
    root = next((place for place in folders if all(any(place.glob(name)) for name in files)), None)
    if root is None:
        return None
    return DataGuess({"root": root, **options}, test=test, certain=True, table=f"{root}: {', '.join(files)}")
