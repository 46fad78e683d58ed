"""A process that does slices for a run, and what it tells the run of each."""

from __future__ import annotations

import io
import os
import pickle
import shutil
import socket
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmedpo.core.locality import identify_machine, list_names
from mmedpo.core.privacy import OTHERS
from mmedpo.errors import DataError, MmedpoError
from mmedpo.recipe.model import LoadedRecipe
from mmedpo.registry.conformance.blame import blame_part
from mmedpo.runtime.context import RunContext
from mmedpo.runtime.slice_work import SliceWork
from mmedpo.runtime.stage_parts import StageParts
from mmedpo.runtime.thread_environment import COUNT, OURS, is_wished, prepare_threads
from mmedpo.store.run_files.record import ThreadCount
from mmedpo.store.worker_journal import JournalHarvest, WorkerJournal

NOTE = "mmedpo: "  # what a line for the user begins with


@dataclass(frozen=True)
class WorkerSetup:
    """What every worker of a run is given."""

    loaded: LoadedRecipe
    limit: int | None
    started_in: str  # where relative paths start
    folder: Path  # of the run
    images: Path  # the journal's
    marker: str  # a file in both, by which a worker knows that it sees the run's own
    environment: Mapping[str, str]  # of the run's process: what its libraries are told there
    cpus: float
    scratch: Path | None  # where workers put files of their own, if not among the system's


@dataclass(frozen=True)
class WorkerFacts:
    """What a worker says of itself."""

    host: str
    names: Sequence[str]  # by which a recipe may allow the host
    machine: str  # what tells it from all others
    process: int
    shared: bool  # whether it sees the run's folder


@dataclass(frozen=True)
class SliceFailure:
    """What went wrong, and the traceback of whatever raised it first."""

    error: Exception
    trace: str


@dataclass(frozen=True)
class SliceReport:
    """What a slice came to."""

    value: Any  # JSON, or a SliceFailure
    harvest: JournalHarvest
    notes: Sequence[str]  # for the user
    threads: ThreadCount | None  # with which a backbone computes, once one is open


class Worker:
    """Do slices of a run, with parts that are open from their first slice to the end of their stage."""

    def __init__(self, setup: WorkerSetup, ask: Callable[[Sequence[str]], Mapping[str, Any]]) -> None:
        """Take what the run says, and what asks it for what its journal has."""
        self._setup, self._ask = setup, ask
        self._works: dict[int, SliceWork[Any]] = {}
        self._stop, self._stack = ExitStack(), ExitStack()  # what ends with the process, and with a stage

    def start(self, number: int) -> WorkerFacts | SliceFailure:
        """Make this process the worker of that number."""
        try:
            return self._start(number)
        except Exception as error:
            return _make_failure(error)

    def _start(self, number: int) -> WorkerFacts:
        setup = self._setup
        os.environ |= setup.environment
        _limit_threads(setup.cpus)
        _enter_folder(setup.started_in)
        shared = all((place / setup.marker).exists() for place in (setup.folder, setup.images))
        scratch = Path(tempfile.mkdtemp(prefix="mmedpo-", dir=setup.scratch))
        self._stop.callback(shutil.rmtree, scratch, ignore_errors=True)
        self._journal = WorkerJournal(scratch, setup.images if shared else None, self._ask)
        folder = setup.folder if shared else scratch
        self._run = RunContext(setup.loaded, folder, self._journal, lambda event: None, setup.limit, number=number)
        self._opened = StageParts(self._run, self._stack)
        self._facts = WorkerFacts(socket.gethostname(), list_names(), identify_machine(), os.getpid(), shared)
        return self._facts

    def do(
        self, number: int, fetch: Callable[[], SliceWork[Any]], some: Sequence[Any], *, restricted: bool
    ) -> SliceReport:
        """Do a slice; `number` says of which work, which is fetched once."""
        if restricted:
            os.umask(OTHERS)
        with _hear_notes() as notes:
            try:
                if number not in self._works:
                    self._works[number] = fetch()
                value = self._do(self._works[number], some)
            except Exception as error:
                value = _make_failure(self._say_where(error))
            harvest = self._journal.harvest()  # of a slice that failed too: answers are kept one by one
        return SliceReport(value, harvest, notes, self._run.threads)

    def _do(self, work: SliceWork[Any], some: Sequence[Any]) -> Any:
        with blame_part(self._run.plugin_of(work.part), work.lower):
            return work.do(self._opened, some)

    def close_parts(self) -> None:
        """Close what was opened for a stage."""
        self._works.clear()
        self._stack.close()
        self._opened = StageParts(self._run, self._stack)

    def stop(self) -> None:
        """Close what is open, and leave no file behind."""
        self.close_parts()
        self._stop.close()

    def _say_where(self, error: Exception) -> Exception:
        """Add where it went wrong, when that may be why: a node that does not see the run's files."""
        if isinstance(error, MmedpoError) and not self._facts.shared:
            where = f"(on node {self._facts.host}, which does not see {self._setup.folder})"
            return type(error)(f"{error} {where}").with_traceback(error.__traceback__)
        return error


def _limit_threads(cpus: float) -> None:
    """Compute with as many threads as the worker has cores, unless the user's environment says otherwise."""
    if not is_wished():
        os.environ.pop(OURS, None)
        os.environ[COUNT] = str(max(1, int(cpus)))
    prepare_threads()


def _enter_folder(folder: str) -> None:
    """Go where relative paths start."""
    try:
        os.chdir(folder)
    except OSError as error:
        why = f"node {socket.gethostname()} does not see {folder}, where the run was started ({error.strerror})"
        raise DataError(f"engine: {why}; start it in a folder that all nodes share") from None


@contextmanager
def _hear_notes() -> Iterator[list[str]]:
    """Yield a list which in the end holds the notes for the user; all that is printed goes into the worker's log."""
    notes: list[str] = []
    with redirect_stderr(io.StringIO()) as printed:
        yield notes
    sys.stderr.write(printed.getvalue())
    notes += [line.removeprefix(NOTE) for line in printed.getvalue().split("\n") if line.startswith(NOTE)]


def _make_failure(error: Exception) -> SliceFailure:
    """Take an error to where it is told: with the traceback of what a part raised, or of the bug that it is."""
    first = error.__cause__ if isinstance(error, MmedpoError) else error
    trace = "".join(traceback.format_exception(first)) if first else ""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # it holds what cannot be sent
        error = RuntimeError(f"{type(error).__name__}: {error}")
    return SliceFailure(error, trace)
