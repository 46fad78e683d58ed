"""The workers of a run: started, given slices, replaced when they die."""

from __future__ import annotations

import logging
import os
import secrets
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from mmedpo.core.locality import explain_refusal, identify_machine, is_named
from mmedpo.core.notes import print_note
from mmedpo.errors import PluginError, RecipeError
from mmedpo.recipe.engine_options import RayOptions
from mmedpo.runtime.context import RunContext
from mmedpo.runtime.slice_work import SliceWork
from mmedpo.runtime.workers.cluster import choose_size, count_rooms, explain_no_room, join_cluster
from mmedpo.runtime.workers.worker import SliceFailure, SliceReport, WorkerFacts, WorkerSetup
from mmedpo.runtime.workers.worker_actor import WorkerActor
from mmedpo.store.worker_journal import JournalReader, take_harvest

logger = logging.getLogger(__name__)

AHEAD = 2  # slices that a worker has: the one that it does, and the next
TRIES = 3  # times that a slice, or a start, may cost a worker its life
GRACE = 1.0  # seconds for workers that do nothing to close what they have open
LONG = 30.0  # seconds after which a user is told that no worker has started
LOOK = 0.25  # seconds after which a signal is noticed, and whether there is still room for a worker
TOLD = ("HF_", "TRANSFORMERS_", "TOKENIZERS_", "TORCH_", "PYTORCH_", "CUBLAS_", "NLTK_", "MONAI_", "PYTHONWARNINGS")


@dataclass
class Place:
    """A worker's place: whoever holds it now, and what that one has to do."""

    number: int
    actor: Any
    starting: Any  # what comes when it is ready; None afterwards
    facts: WorkerFacts | None = None
    slices: deque[tuple[Any, int]] = field(default_factory=deque)  # what comes of each, and its number


@dataclass
class Job:
    """The slices of a stage that are to be done, and their work."""

    number: int
    work: SliceWork[Any]
    sent: list[Any]  # the work where workers fetch it
    items: Callable[[int], Sequence[Any]]
    left: deque[int]
    deaths: Counter[int] = field(default_factory=Counter)  # of workers, by the slice that they were at

    def describe(self, index: int) -> str:
        """Name a slice by its first item."""
        first = self.items(index)[0]
        item = first[0] if isinstance(first, tuple) else first
        return f"the slice that begins with {getattr(item, 'id', index)!r}"


class WorkerTraceback(Exception):
    """The traceback of what a part raised in another process."""

    def __init__(self, text: str) -> None:
        """Take it as it was printed there."""
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f"\n\n{self.text}"


class RayWorkers:
    """Do slices of a run's stages in several processes; what they keep is put into the journal here.

    They start with the first slice. Ray would restart a worker by itself and give it its slices again; here another
    worker, which has its parts open, gets them at once, and the user reads that one was lost.
    """

    def __init__(self, run: RunContext, options: RayOptions) -> None:
        """Take the run and what its recipe says of its workers."""
        self._run, self._options = run, options
        self._cluster, self._crew = ExitStack(), ExitStack()  # what ends with the run, and with its workers
        self._joined = False
        self._places: list[Place] = []
        self._starts = 0  # that failed, one after the other
        self._works = count()
        self._said: set[str] = set()

    def carry_out(
        self, work: SliceWork[Any], items: Callable[[int], Sequence[Any]], left: Sequence[int]
    ) -> Iterator[tuple[int, Any]]:
        """Yield the number of each slice that is `left` and what the work comes to there, as they are done."""
        self._start()
        import ray  # not before: it reads the environment when it is imported

        job = Job(next(self._works), work, [ray.put(work)], items, deque(left))
        while job.left or any(place.slices for place in self._places):
            for place in self._places:
                while place.facts and job.left and len(place.slices) < AHEAD:
                    self._give(place, job)
            for place in self._wait():
                if place.starting is not None:
                    self._welcome(place)
                else:
                    yield from self._take(place, job)

    def close_parts(self) -> None:
        """Close what was opened for a stage."""
        if not self._places:
            return
        import ray

        for closing in [place.actor.close_parts.remote() for place in self._places if place.facts]:
            with suppress(ray.exceptions.RayError):  # of one that died; the next stage notices
                ray.get(closing)

    def leave(self) -> None:
        """End the workers, so that what they held is free."""
        self._crew.close()
        self._places.clear()

    def close(self) -> None:
        """End the workers and what was started for them."""
        self.leave()
        self._cluster.close()

    def _start(self) -> None:
        """Start the workers, unless they are there. Raises RecipeError when there is no room for them."""
        if self._places:
            return
        if not self._joined:
            self._scratch = self._cluster.enter_context(join_cluster(self._options))
            self._joined = True
        number, self._gpus = choose_size(self._options, self._run.recipe.device)
        logger.info("%d workers of %g CPUs and %g GPUs", number, self._options.cpus, self._gpus)
        self._reader = self._start_reader()
        self._crew.callback(self._dismiss)
        self._setup = self._prepare()
        self._since = time.monotonic()
        self._places += [self._fill(number) for number in range(1, number + 1)]

    def _prepare(self) -> WorkerSetup:
        """Gather what workers are told, and leave a file by which they know whether they see the run's own.

        After a kill, the next run removes it by its name.
        """
        run, marker = self._run, f".workers-{secrets.token_hex(8)}.{os.getpid()}"
        for place in (run.folder, run.journal.images):
            place.mkdir(parents=True, exist_ok=True, mode=0o700)
            (place / marker).touch()
            self._crew.callback((place / marker).unlink, missing_ok=True)
        environment = {name: value for name, value in os.environ.items() if name.startswith(TOLD)}
        places = os.getcwd(), run.folder, run.journal.images
        return WorkerSetup(run.loaded, run.limit, *places, marker, environment, self._options.cpus, self._scratch)

    def _start_reader(self) -> Any:
        """Start what reads the journal for the workers: a process beside this one, for they may be on other nodes."""
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        actor: Any = ray.remote(JournalReader)
        return actor.options(num_cpus=0, scheduling_strategy=here).remote(str(self._run.journal.path.absolute()))

    def _fill(self, number: int) -> Place:
        """Start a worker in a place."""
        import ray

        options = {"num_cpus": self._options.cpus, "num_gpus": self._gpus, "max_restarts": 0, "max_task_retries": 0}
        actor: Any = ray.remote(WorkerActor).options(**options).remote(self._setup, self._reader)
        return Place(number, actor, actor.start.remote(number))

    def _dismiss(self) -> None:
        import ray

        stopping = [place.actor.stop.remote() for place in self._places if place.facts and not place.slices]
        with suppress(ray.exceptions.RayError):
            ray.wait(stopping, num_returns=len(stopping), timeout=GRACE) if stopping else None
        for actor in (*(place.actor for place in self._places), self._reader):
            with suppress(Exception):
                ray.kill(actor)

    def _give(self, place: Place, job: Job) -> None:
        if self._run.restricted and place.facts and not self._options.trusted:
            refuse_remote_worker(place.facts, self._run.recipe.allow_remote)
        index = job.left.popleft()
        answer = place.actor.do.remote(job.number, job.sent, job.items(index), self._run.restricted)
        place.slices.append((answer, index))

    def _wait(self) -> list[Place]:
        """Return the places where something has come."""
        import ray

        awaited = {place.starting or place.slices[0][0]: place for place in self._places if self._awaits(place)}
        done, _ = ray.wait(list(awaited), timeout=LOOK)
        if not done and not any(place.facts for place in self._places):
            self._require_room()
        return [awaited[answer] for answer in done]

    @staticmethod
    def _awaits(place: Place) -> bool:
        return place.starting is not None or bool(place.slices)

    def _require_room(self) -> None:
        """Raise RecipeError when no worker is there and none can come; say when one has to wait."""
        rooms, gpus = count_rooms(self._options, self._run.recipe.device)
        if not rooms:
            raise RecipeError(explain_no_room(self._options, gpus, rooms))
        if time.monotonic() - self._since > LONG:
            self._say("engine: no worker has started yet: the cluster's processors or GPUs may be taken by others")

    def _welcome(self, place: Place) -> None:
        """Take note of a worker that is ready. Raises what kept it from being so."""
        import ray

        try:
            facts = ray.get(place.starting)
        except ray.exceptions.RayError as error:
            self._starts += 1
            if self._starts == TRIES:
                raise RecipeError(f"engine: workers die while they start: {_explain_death(error)}") from error
            self._replace(place)
            return
        if isinstance(facts, SliceFailure):
            _raise_failure(facts)
        self._starts, place.starting, place.facts = 0, None, facts
        logger.info("worker %d is process %d of %s", place.number, facts.process, facts.host)

    def _take(self, place: Place, job: Job) -> Iterator[tuple[int, Any]]:
        """Yield what a worker's slice came to; where it died over it, others get its slices."""
        import ray

        answer, index = place.slices[0]
        try:
            report: SliceReport = ray.get(answer)
        except ray.exceptions.RayError as error:
            self._lose(place, job, error)
            return
        place.slices.popleft()
        take_harvest(self._run.journal, report.harvest)
        self._run.threads = report.threads or self._run.threads
        for note in report.notes:
            self._say(note)
        if isinstance(report.value, SliceFailure):
            _raise_failure(report.value)
        yield index, report.value

    def _lose(self, place: Place, job: Job, error: Exception) -> None:
        """Give a dead worker's slices to others. Raises PluginError when it is not the first that died over one."""
        facts, index = place.facts, place.slices[0][1]
        assert facts is not None
        job.deaths[index] += 1
        why = _explain_death(error)
        if job.deaths[index] == TRIES:
            plugin = self._run.plugin_of(job.work.part)
            raise PluginError(f"{plugin}: {TRIES} workers died over {job.describe(index)}: {why}")
        job.left.extendleft(index for _, index in reversed(place.slices))
        lost = f"worker {place.number} (process {facts.process} of {facts.host}) is lost: {why}"
        print_note(f"engine: {lost}; its slices go to another")
        self._replace(place)

    def _replace(self, place: Place) -> None:
        import ray

        with suppress(Exception):
            ray.kill(place.actor)  # where it is only out of reach
        self._places[self._places.index(place)] = self._fill(place.number)

    def _say(self, note: str) -> None:
        """Print a note, once for all workers."""
        if note not in self._said:
            self._said.add(note)
            print_note(note)


def refuse_remote_worker(facts: WorkerFacts, allowed: Sequence[str]) -> None:
    """Raise RecipeError for a worker on another machine, unless the recipe allows one of its names."""
    if facts.machine != identify_machine() and not any(is_named(name, allowed) for name in facts.names):
        way = "for all machines of a cluster, 'trusted: true' at the engine"
        raise RecipeError(f"engine: {explain_refusal(facts.host, 'what is worked on')}; {way}")


def _raise_failure(failure: SliceFailure) -> None:
    """Raise what a worker's part raised, or a bug in it, with the traceback that it has there."""
    raise failure.error from (WorkerTraceback(failure.trace) if failure.trace else None)


def _explain_death(error: Exception) -> str:
    """Say in a few words why a worker is gone."""
    text = str(error)
    if "OutOfMemory" in type(error).__name__:
        return "the memory of its machine ran out; fewer engine.workers need less"
    if "node" in text and ("died" in text or "dead" in text) and "worker process has died" not in text:
        return "its node has left"
    if "creation task" in text:
        return text.strip().split("\n")[-1]
    return "its process has ended"
