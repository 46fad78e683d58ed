"""Which table of a folder holds questions about images, and how a reader of tables is to read it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

from mmedpo import DataError, DataGuess
from mmedpo.data import TableRow, csv_rows
from mmedpo_plugins.guesses.column_guesses import TableGuess, guess_columns
from mmedpo_plugins.guesses.image_places import ENDINGS, ImageFiles

LOOKED_AT = 10_000  # rows
MOST_TABLES = 20  # that are looked into
DELIMITERS = (",", ";", "\t", "|")
_BETWEEN = {";": ", cells between semicolons", "\t": ", cells between tabs", "|": ", cells between bars"}

RowsOf = Callable[[Path], tuple[dict[str, Any], Iterator[TableRow]]]  # options that it takes, and the rows


def guess_table(places: Sequence[Path], endings: Sequence[str], rows_of: RowsOf, **said: Any) -> DataGuess | None:
    """Return how the likeliest table of some places would be read; None where there is none with such an ending.

    `said` are options that go with any table of these.
    """
    tables = list(islice(find_tables(places, endings), MOST_TABLES))
    if not tables:
        return None
    folders = [*(place for place in places if place.is_dir()), *(table.parent for table in tables)]
    files = ImageFiles(folders)
    guesses = [_guess_one(table, files, rows_of, said) for table in tables]
    whole = [guess for guess in guesses if not guess.lacks]
    return whole[0] if whole else DataGuess({}, lacks=tuple(chain.from_iterable(guess.lacks for guess in guesses)))


def sniff_delimiter(file: Path) -> str:
    """Return what stands between the cells of a CSV file: what makes most columns of its header."""
    widths = {}
    for delimiter in DELIMITERS:
        try:
            row = next(csv_rows(file, delimiter), None)
            widths[delimiter] = len(row.values) if row else 0
        except DataError as error:
            if "cells" not in str(error) and "broken CSV" not in str(error):
                raise
    return max(widths, key=widths.__getitem__, default=",")


def read_cells(rows: Iterable[TableRow]) -> tuple[dict[str, list[Any]], int]:
    """Return what stands in each column of the first rows, and how many rows these are."""
    cells: dict[str, list[Any]] = {}
    count = 0
    for row in islice(rows, LOOKED_AT):
        count += 1
        for name, value in row.values.items():
            cells.setdefault(name, []).extend([] if value in (None, "") else [value])
    return cells, count


def tell_table(guess: TableGuess, options: dict[str, Any], table: str) -> DataGuess:
    """Return a guess about a table, for a reader that has `columns`."""
    columns = {role: name for role, name in guess.columns.items() if role not in (name, "split")}
    told = {**options, **({"columns": columns} if columns else {}), **guess.options}
    return DataGuess(told, table=table, columns=guess.guesses, unread=guess.unread)


def find_tables(places: Sequence[Path], endings: Sequence[str]) -> Iterator[Path]:
    """Yield the tables among some places, and those at most two folders down."""
    for place in places:
        if place.is_file() and place.name.lower().endswith(tuple(endings)):
            yield place
        for folder, inner, names in os.walk(place):
            inner[:] = sorted(name for name in inner if not name.startswith("."))
            if len(Path(folder).relative_to(place).parts) >= 2:
                inner.clear()
            yield from (Path(folder) / name for name in sorted(names) if name.lower().endswith(tuple(endings)))


def _guess_one(table: Path, files: ImageFiles, rows_of: RowsOf, said: dict[str, Any]) -> DataGuess:
    try:
        options, rows = rows_of(table)
        cells, count = read_cells(rows)
    except DataError as error:
        return DataGuess({}, lacks=(str(error).split("\n")[0],))
    guess = guess_columns(cells, count, files)
    if guess.lacks:
        return DataGuess({}, lacks=(_explain(table, guess, cells, count, files),))
    if guess.place:
        options |= {"images": guess.place.folder} if guess.place.folder != table.parent else {}
        options |= {"ending": guess.place.ending} if guess.place.ending else {}
        options |= {"missing": "skip"} if guess.place.share < 1 else {}
    cut = " or more" if count == LOOKED_AT else ""
    told = f"{table}: {count:,}{cut} rows{_BETWEEN.get(str(options.get('delimiter')), '')}"
    return tell_table(guess, {**options, **said}, told)


def _explain(table: Path, guess: TableGuess, cells: dict[str, list[Any]], rows: int, files: ImageFiles) -> str:
    """Say what no column could be found for, and what there is."""
    wanted = {"image": f"names one of the {len(files.paths):,} images here", "answer": "is called like an answer"}
    lacks = " and none ".join(wanted[role] for role in guess.lacks)
    for name, values in cells.items() if "image" in guess.lacks else ():
        if values and all(isinstance(value, str) and files.knows(value) for value in values[:20]):
            return f"{table}: {name!r} names films by other paths than they have here; write them as seen from a folder"
    if not files.paths and "image" in guess.lacks:
        lacks = f"can name an image: there is no image ({', '.join(ENDINGS[:4])} ...) beside it or in the folders given"
    return f"{table}: {rows:,} rows, columns {', '.join(map(repr, cells)) or 'none'}: none {lacks}"


def csv_table(file: Path) -> tuple[dict[str, Any], Iterator[TableRow]]:
    """Return how a CSV file is read, and its rows. Raises DataError."""
    delimiter = sniff_delimiter(file)
    return {"file": file, **({} if delimiter == "," else {"delimiter": delimiter})}, csv_rows(file, delimiter)
