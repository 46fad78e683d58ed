"""A run in rounds: a run folder each below its own, of which the last round's holds its result."""

from __future__ import annotations

from pathlib import Path

from mmedpo.errors import DataError
from mmedpo.store.run_files.format import read_file
from mmedpo.store.run_files.measures import RoundTable
from mmedpo.store.run_files.record import RunRecord, RunRound


def round_folder(folder: Path, number: int) -> Path:
    """Return where a round of a run goes."""
    return folder / f"round-{number}"


def name_run(folder: Path, one: RunRound | None) -> str:
    """Return what a run goes by: the name of its folder; a round's, that of the run's, and its number."""
    place = folder.resolve()
    return f"{place.parent.name}, round {one.number}" if one else place.name


def describe_round(one: RunRound) -> str:
    """Say what a round trained on, and what it was held to."""
    began = f"the model that round {one.number - 1} trained" if one.number > 1 else "the start"
    held = "the start" if one.reference == "start" else began
    return f"its pairs were made with {began}, which it trained on; the reference is {held}"


def place_journal(folder: Path, one: RunRound | None) -> Path:
    """Return where a journal is unless the recipe says so: beside the run's folder, which rounds lie in."""
    return (folder.parent if one else folder).parent / "journal.sqlite"


def list_rounds(folder: Path) -> list[Path]:
    """Return the folders of a run's rounds that have begun, as far as its recipe counts; none of another run."""
    table = read_file(folder, RoundTable)
    places = [round_folder(folder, number + 1) for number in range(table.count if table else 0)]
    return [place for place in places if (place / RunRecord.file).exists()]


def find_result(folder: Path) -> Path:
    """Return the folder that holds a run's result: of a run in rounds, its last round's, of another, its own.

    Raises DataError when the last round has not begun.
    """
    table = read_file(folder, RoundTable)
    if table is None:
        return folder
    last, begun = round_folder(folder, table.count), list_rounds(folder)
    if last not in begun:
        named = f", or name the folder of one: {', '.join(map(str, begun))}" if begun else ""
        raise DataError(
            f"{folder}: is a run in {table.count} rounds and the last has not begun; finish it with `mmedpo run`{named}"
        )
    return last
