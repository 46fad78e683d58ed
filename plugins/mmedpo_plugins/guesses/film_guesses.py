"""How films in DICOM form are asked about: by a table, or by a file beside each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mmedpo import DataError, DataGuess
from mmedpo.data import jsonl_rows
from mmedpo_plugins.guesses.column_guesses import TableGuess, guess_columns
from mmedpo_plugins.guesses.image_places import ImageFiles
from mmedpo_plugins.guesses.table_guesses import csv_table, find_tables, read_cells, tell_table


def guess_films(places: Sequence[Path], root: Path, films: ImageFiles) -> DataGuess:
    """Return how the films below a folder would be read."""
    count, lacks = len(films.paths), list[str]()
    asked = sum(path.with_suffix(".json").is_file() for path in films.paths)
    if asked:
        skip = {"missing": "skip"} if asked < count else {}
        told = f"{root}: {count:,} films in DICOM form, {asked:,} with a .json beside them"
        return DataGuess({"root": root, **skip}, certain=True, table=told)
    for table in find_tables(places, (".csv", ".jsonl")):
        try:
            options, rows = csv_table(table) if table.suffix == ".csv" else ({}, jsonl_rows(table))
            cells, number = read_cells(rows)
        except DataError as error:
            lacks.append(str(error).split("\n")[0])
            continue
        guess = _without_persons(guess_columns(cells, number, films))
        if not guess.lacks and guess.place:
            skip = {"missing": "skip"} if guess.place.share < 1 else {}
            options = {"root": guess.place.folder, "table": table, **skip, **options}
            options.pop("file", None)
            told = f"{table}: {number:,} rows, about {count:,} films in DICOM form below {root}"
            return replace(tell_table(guess, options, told), certain=True)
        lacks.append(f"{table}: {number:,} rows; no film with its answer among {', '.join(map(repr, cells))}")
    what = f"{root}: {count:,} films in DICOM form, and no questions"
    return DataGuess({}, lacks=(f"{what}: a table that names them, or FILM.json beside FILM.dcm", *lacks))


def _without_persons(guess: TableGuess) -> TableGuess:
    """Leave out columns that may hold a patient's number: the header tells who is who, and it is written nowhere."""
    kept = {role: name for role, name in guess.columns.items() if role not in ("id", "group")}
    told = tuple(one for one in guess.guesses if one.role in kept)
    left = [name for role, name in guess.columns.items() if role not in kept]
    return replace(guess, columns=kept, guesses=told, unread=(*guess.unread, *left))
