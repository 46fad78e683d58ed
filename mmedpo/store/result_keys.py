"""The results in a run folder: what lies there belongs to the recipe in run.json; what does not is set aside.

Each result has a key, the hash of all that it was made from, in `results.json`. A run says which keys its recipe
wants: another's result moves to `earlier/`, and comes back when a recipe wants it again. So nobody who opens a run
folder, we or another tool, takes an old recipe's adapter or measures for the new one's.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from pathlib import Path

from mmedpo.core.machine.disk import guard_writes
from mmedpo.core.notes import print_note
from mmedpo.errors import DataError
from mmedpo.store.run_files.dropped import DroppedCase
from mmedpo.store.run_files.format import CASES, PAIRS, read_file, write_file
from mmedpo.store.run_files.measures import AnsweredCase, AttendedCase, MeasureRecord, TrainingRecord
from mmedpo.store.run_files.record import ResultKeys
from mmedpo.store.run_files.rounds import find_result

logger = logging.getLogger(__name__)

ORDER = ("pairs", "adapter", "measures")  # each is made from those before it
FILES = {
    "pairs": (PAIRS, CASES, DroppedCase.file, "data_card.md"),
    "adapter": (TrainingRecord.file, "adapter", "tensorboard"),
    "measures": (MeasureRecord.file, AnsweredCase.file, AttendedCase.file, "adapter/README.md"),
}
PAGE = "report.html"  # made of all of them
EARLIER = "earlier"


def claim_result(folder: Path, name: str, key: str | None) -> bool:
    """Let a result be the one with this key, or none: set another aside with what was made from it, bring it back.

    Return whether anything moved. Whatever is written there from now on belongs to the key.
    """
    with guard_writes(folder):
        moved = _held(folder).get(name) != key and set_aside(folder, name)
        if key is None:
            return moved
        logger.debug("%s: this recipe's %s: key %s", folder, name, key)
        if _held(folder).get(name) != key:
            write_file(folder, ResultKeys(keys={**_held(folder), name: key}))
        return _bring_back(folder, name, key) or moved


def set_aside(folder: Path, name: str) -> bool:
    """Move a result, and what was made from it, out of the way; return whether there was any."""
    moved = False
    for one in reversed(ORDER[ORDER.index(name) :]):
        key = _held(folder).get(one, "unknown")
        place = folder / EARLIER / f"{one}-{key[:12]}"
        there = [folder / file for file in FILES[one] if (folder / file).exists()]
        for path in there:
            _move(path, place / path.name)
        if key != "unknown":
            write_file(folder, ResultKeys(keys={name: held for name, held in _held(folder).items() if name != one}))
        if there:
            moved = True
            (folder / PAGE).unlink(missing_ok=True)
            print_note(f"{folder}: {_called(one)} of an earlier recipe, set aside in {place}")
    return moved


def _bring_back(folder: Path, name: str, key: str) -> bool:
    place = folder / EARLIER / f"{name}-{key[:12]}"
    if not place.exists():
        return False
    for file in reversed(FILES[name]):  # what says that it is complete comes last
        if (place / Path(file).name).exists() and (folder / file).parent.exists():
            _move(place / Path(file).name, folder / file)
    shutil.rmtree(place)
    (folder / PAGE).unlink(missing_ok=True)
    print_note(f"{folder}: {_called(name)} of this recipe, brought back from {place}")
    return True


def _move(path: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.is_dir():
        shutil.rmtree(place)
    path.rename(place)


def _held(folder: Path) -> dict[str, str]:
    found = read_file(folder, ResultKeys)
    return found.keys if found else {}


def _called(name: str) -> str:
    return "the adapter is" if name == "adapter" else f"the {name} are"


def adapter_of(folder: Path) -> Path:
    """Return a run's trained adapter. Raises DataError when it has none."""
    folder = find_result(folder)
    adapter = folder / "adapter"
    if not (adapter / "adapter_config.json").exists():
        raise DataError(f"{adapter}: there is no adapter yet; run the recipe first{other(folder, 'adapter')}")
    return adapter


def other(folder: Path, name: str) -> str:
    """Say where a run's results of earlier recipes are; "" where there are none."""
    found = sorted(_earlier(folder, name))
    return f" (of an earlier recipe: {', '.join(map(str, found))})" if found else ""


def _earlier(folder: Path, name: str) -> Iterator[Path]:
    return (folder / EARLIER).glob(f"{name}-*")
