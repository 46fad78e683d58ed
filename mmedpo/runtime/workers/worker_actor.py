"""A worker as Ray runs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmedpo.runtime.workers.worker import SliceFailure, SliceReport, Worker, WorkerFacts, WorkerSetup


class WorkerActor:
    """Pass on what the run asks of a worker; what it has to fetch comes through Ray."""

    def __init__(self, setup: WorkerSetup, reader: Any) -> None:
        """Take what the run says, and the actor that reads its journal."""
        self._reader = reader
        self._worker = Worker(setup, self._ask)

    def _ask(self, keys: Sequence[str]) -> Mapping[str, Any]:
        import ray  # wherever this class is sent to, it is there

        found: Mapping[str, Any] = ray.get(self._reader.find.remote(list(keys)))
        return found

    def start(self, number: int) -> WorkerFacts | SliceFailure:
        """Make this process the worker of that number."""
        return self._worker.start(number)

    def do(self, number: int, sent: list[Any], some: Sequence[Any], restricted: bool) -> SliceReport:
        """Do a slice of the work that was sent."""
        import ray

        return self._worker.do(number, lambda: ray.get(sent[0]), some, restricted=restricted)

    def stop(self) -> None:
        """Close what is open, and leave no file behind."""
        self._worker.stop()

    def close_parts(self) -> None:
        """Close what was opened for a stage."""
        self._worker.close_parts()
