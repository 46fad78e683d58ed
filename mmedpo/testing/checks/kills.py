"""A check of parts that work slice by slice: killed in the middle and run again, they end as if nothing had been."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, redirect_stderr
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mmedpo.core.records import Case, to_json
from mmedpo.curate.adoption import adopt_record
from mmedpo.curate.dispreference import disprefer_cases
from mmedpo.curate.localization import localize_cases
from mmedpo.curate.scoring import score_pairs
from mmedpo.events import Event, EventObserver, StageAdvanced
from mmedpo.registry.contracts.dispreference import Dispreference
from mmedpo.registry.contracts.localizer import Localizer
from mmedpo.registry.contracts.part import Part
from mmedpo.registry.contracts.scorer import Scorer
from mmedpo.runtime.context import RunContext
from mmedpo.store.journal import Journal
from mmedpo.testing.checks.check import Check, SkippedCheck, Trial
from mmedpo.testing.tiny import make_pair, tiny_cases
from mmedpo.testing.tiny_recipe import load_tiny_recipe

SLICE = 2  # items, so that the tiny cases are several slices
LONGEST = 120.0  # seconds for the process that is to be killed


def _check_kill(trial: Trial) -> None:
    if not hasattr(os, "fork"):
        raise SkippedCheck("no process can be forked on this system")
    quiet = redirect_stderr(StringIO())  # what a stage notes of so few cases is no news
    with TemporaryDirectory() as folder, _small_slices(type(trial.part)), quiet:
        undisturbed = _work(trial.part, Path(folder, "one"))
        if not _fork_and_kill(lambda see: _work(trial.part, Path(folder, "other"), see)):
            raise SkippedCheck("a process of its own came to no slice that it could be killed after")
        if _work(trial.part, Path(folder, "other")) != undisturbed:
            cure = "draw from mmedpo.seed_for alone, and leave no files behind that another process stumbles over"
            raise trial.make_breach(f"ends otherwise after a kill in the middle; {cure}")


KILL = Check("kill", "killed between two slices and run again, it ends as without", _check_kill)


@contextmanager
def _small_slices(cls: type[Part]) -> Iterator[None]:
    """Let a part get few items at once."""
    own = vars(cls).get("slice_size")
    cls.slice_size = SLICE
    try:
        yield
    finally:
        if own is None:
            del cls.slice_size
        else:
            cls.slice_size = own


def _work(part: Part, folder: Path, see: EventObserver = lambda event: None) -> Any:
    """Let a run's stage work with the part; return what comes of it, as plain values."""
    loaded = load_tiny_recipe(folder, [part])
    folder.mkdir(exist_ok=True)
    with closing(Journal(folder / "journal.sqlite")) as journal:
        run = RunContext(loaded, folder, journal, see)
        items = list(_carry_out(run, part, _adopt(journal, tiny_cases(3))))
        return _without_paths(to_json(items))


def _adopt(journal: Journal, records: Sequence[Any]) -> list[Any]:
    adopted = [adopt_record(journal, record, False) for record in records]
    journal.settle()
    return adopted


def _without_paths(value: Any) -> Any:
    """Return JSON of records without the places of their images; these have hashes."""
    if isinstance(value, dict):
        return {name: _without_paths(item) for name, item in value.items() if name != "path"}
    return [_without_paths(item) for item in value] if isinstance(value, list) else value


def _carry_out(run: RunContext, part: Part, cases: Sequence[Case]) -> Sequence[Any]:
    match part:
        case Localizer():
            return localize_cases(run, [part], cases)
        case Dispreference():
            ready = _adopt(run.journal, [make_pair(one, part.follows() or "text") for one in cases])
            return disprefer_cases(run, [part], cases, ready, range(len(cases)))
        case Scorer():
            pairs = [make_pair(one, kind) for one in cases for kind in sorted(part.rates)]
            return score_pairs(run, [part], _adopt(run.journal, pairs)).scores
    raise SkippedCheck("it works on no slices")


def _fork_and_kill(work: Callable[[EventObserver], Any]) -> bool:
    """Let a process of its own work until its first slice is done, and kill it; tell whether it came so far."""
    child = os.fork()
    if child == 0:
        _work_and_die(work)
    end = time.monotonic() + LONGEST
    while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0):
        if time.monotonic() > end:
            os.kill(child, signal.SIGTERM)
        time.sleep(0.005)
    return os.WIFSIGNALED(ended[1]) and os.WTERMSIG(ended[1]) == signal.SIGKILL


def _work_and_die(work: Callable[[EventObserver], Any]) -> None:
    def see(event: Event) -> None:
        if isinstance(event, StageAdvanced):
            os.kill(os.getpid(), signal.SIGKILL)

    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        if torch := sys.modules.get("torch"):
            torch.set_num_threads(1)  # threads are not forked, and would be waited for
        work(see)
    finally:
        os._exit(0)
