"""The runs below a folder: of which recipe, how far, what they measured, when, how large."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from mmedpo.core.stage import Stage
from mmedpo.errors import DataError
from mmedpo.store.result_keys import EARLIER
from mmedpo.store.run_files.format import FEATURES, read_file
from mmedpo.store.run_files.measures import MeasureRecord, RoundTable
from mmedpo.store.run_files.record import RunRecord
from mmedpo.store.run_files.rounds import list_rounds
from mmedpo.store.run_folder import is_held

PASSED_OVER = {EARLIER, FEATURES, "images", "checkpoints", "adapter", "tensorboard"}  # no run lies in there


@dataclass(frozen=True)
class ListedRun:
    """A run of a list."""

    folder: Path
    state: str  # in words: "finished", "stopped after score" ...
    when: datetime  # that its record was last written
    size: int  # bytes of all its files
    recipe: str = ""  # the file; "" of one that is broken
    seed: int | None = None
    restricted: bool | None = None
    before: dict[str, float] = field(default_factory=dict)  # by metric and measure
    after: dict[str, float] = field(default_factory=dict)
    better: dict[str, int] = field(default_factory=dict)  # 1 where more is better, -1 where less is


def list_runs(folder: Path) -> list[ListedRun]:
    """Return the runs in a folder and below it, by their folders' names. Raises DataError when there is no folder."""
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such folder")
    return [_look(place) for place in find_runs(folder)]


def find_runs(folder: Path) -> Iterator[Path]:
    """Yield run folders; one in rounds stands for its rounds."""
    for place, inner, names in os.walk(folder):
        run = Path(place)
        in_rounds = RoundTable.file in names
        inner[:] = sorted(
            name
            for name in inner
            if name not in PASSED_OVER and not name.startswith(".") and not (in_rounds and name.startswith("round-"))
        )
        if RunRecord.file in names or in_rounds:
            yield run


def _look(folder: Path) -> ListedRun:
    try:
        return _look_into(folder)
    except DataError as error:
        why = str(error).split("\n")[0].removeprefix(f"{folder}{os.sep}")
        return ListedRun(folder, f"broken: {why}", _last_written(folder), _measure_size(folder))


def _look_into(folder: Path) -> ListedRun:
    table, rounds = read_file(folder, RoundTable), list_rounds(folder)
    place = rounds[-1] if rounds else folder
    run = read_file(place, RunRecord)
    if run is None:
        return ListedRun(folder, "no round has begun", _last_written(folder), _measure_size(folder))
    state = _describe_state(run, held=run.state == "running" and is_held(folder))
    if table and (len(rounds) < table.count or state != "finished"):
        state = f"round {len(rounds)} of {table.count}: {state}"
    measured = read_file(place, MeasureRecord)
    found = measured.measures if measured else ()
    return ListedRun(
        folder,
        state,
        _last_written(place),
        _measure_size(folder),
        run.recipe_file,
        run.seed,
        run.restricted,
        {f"{one.use}.{name}": value for one in found for name, value in one.before.items()},
        {f"{one.use}.{name}": value for one in found for name, value in (one.after or {}).items()},
        {f"{one.use}.{name}": value for one in found for name, value in one.better.items()},
    )


def _describe_state(run: RunRecord, *, held: bool) -> str:
    stages = [stage for stage in Stage if any(one.stage == stage for one in run.flow)]
    after = f" after {stages[-1]}" if stages else " at the beginning"
    if held:
        return f"running{after if stages else ''}"
    if run.state == "finished":
        return "finished" if run.until is Stage.EVALUATE else f"finished up to {run.until}"
    return {"waiting": "waits for a batch", "running": f"killed{after}"}.get(run.state, f"stopped{after}")


def _last_written(folder: Path) -> datetime:
    files = (folder / name for name in (RunRecord.file, RoundTable.file))
    return datetime.fromtimestamp(max(file.stat().st_mtime for file in files if file.exists())).astimezone()


def _measure_size(folder: Path) -> int:
    """Return the bytes of all files in a folder."""
    return sum(os.lstat(os.path.join(place, name)).st_size for place, _, names in os.walk(folder) for name in names)
