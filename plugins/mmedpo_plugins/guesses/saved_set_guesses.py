"""How a data set that the Hugging Face library `datasets` saved would be read."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

from mmedpo import DataError, DataGuess, first_line
from mmedpo_plugins.guesses.column_guesses import guess_columns
from mmedpo_plugins.guesses.image_places import ImageFiles
from mmedpo_plugins.guesses.table_guesses import LOOKED_AT, tell_table


def guess_saved(folder: Path) -> DataGuess:
    """Return how the data set of a folder would be read. Raises nothing: what is in the way is what it lacks."""
    try:
        parts = _load(folder)
    except (OSError, ValueError, DataError) as error:
        return DataGuess({}, lacks=(f"{folder}: cannot be loaded by `datasets` ({first_line(error)})",))
    train = next((name for name in ("train", "training") if name in parts), next(iter(parts)))
    cells, count = _read_cells(parts[train])
    guess = guess_columns(cells, count, ImageFiles([folder]))
    told = f"{folder}: {count:,} rows of {train!r}; there are: {', '.join(parts)}"
    if guess.lacks:
        return DataGuess({}, lacks=(f"{told}; columns {', '.join(map(repr, cells))}: none for the {guess.lacks[0]}",))
    options: dict[str, Any] = {"path": str(folder), **({} if train == "train" else {"split": train})}
    found = tell_table(guess, options, told)
    test = next((name for name in ("test", "validation", "valid", "val", "dev") if name in parts), None)
    return DataGuess(
        found.options, test={"split": test} if test else None, certain=True, table=told, columns=found.columns,
        unread=found.unread,
    )  # fmt: skip


def _load(folder: Path) -> dict[str, Any]:
    """Return the parts of a data set by name, images undecoded."""
    import datasets

    saved = (folder / "dataset_dict.json").is_file() or (folder / "state.json").is_file()
    data = datasets.load_from_disk(str(folder)) if saved else datasets.load_dataset(str(folder), streaming=True)
    parts = dict(data) if isinstance(data, dict) else {"train": data}
    return {str(name): _undecoded(part) for name, part in parts.items()}


def _undecoded(part: Any) -> Any:
    import datasets

    for name, feature in (part.features or {}).items():
        if isinstance(feature, datasets.Image):
            part = part.cast_column(name, datasets.Image(decode=False))
    return part


def _read_cells(part: Any) -> tuple[dict[str, list[Any]], int]:
    cells: dict[str, list[Any]] = {}
    count = 0
    for row in islice(part, LOOKED_AT):
        count += 1
        for name, value in row.items():
            cells.setdefault(name, []).extend([] if value in (None, "") else [value])
    return cells, count
