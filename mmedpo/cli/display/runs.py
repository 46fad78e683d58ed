"""The runs of a folder, a line each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mmedpo.cli.display.columns import print_columns
from mmedpo.cli.display.terminal import Terminal
from mmedpo.core.notes import printable
from mmedpo.core.number_format import format_number
from mmedpo.store.run_list import ListedRun

SHOWN = 2  # measures of a run; --json has all
UNITS = ("B", "kB", "MB", "GB", "TB")


def show_runs(folder: Path, runs: Sequence[ListedRun]) -> None:
    """Print the runs in columns; measures before and after, the first that are better or worse."""
    if not runs:
        print(f"{folder}: no run in it, nor below it")
        return
    head = ("run", "recipe", "state", "when", "size", "measures")
    print_columns(Terminal(), [head, *(tuple(map(printable, _tell(folder, run))) for run in runs)])


def _tell(folder: Path, run: ListedRun) -> Iterator[str]:
    name = run.folder.relative_to(folder)
    yield str(name) if name.parts else str(folder)
    yield run.recipe
    yield run.state
    yield run.when.strftime("%Y-%m-%d %H:%M")
    yield format_size(run.size)
    yield ", ".join(_tell_measures(run))


def _tell_measures(run: ListedRun) -> Iterator[str]:
    for name in [name for name in run.before if run.better.get(name)][:SHOWN]:
        after = f" -> {format_number(run.after[name])}" if name in run.after else ""
        yield f"{name.partition('.')[2]} {format_number(run.before[name])}{after}"


def format_size(size: float) -> str:
    """Return bytes in a unit that a person reads."""
    for unit in UNITS:
        if size < 1000 or unit == UNITS[-1]:
            break
        size /= 1000
    return f"{size:.3g} {unit}"


def tell_runs(runs: Sequence[ListedRun]) -> list[dict[str, Any]]:
    """Return the runs for a script."""
    return [{**vars(run), "folder": str(run.folder), "when": run.when.isoformat(timespec="seconds")} for run in runs]
