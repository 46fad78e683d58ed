"""Progress where there is no terminal: a line when a stage ends, and one every few seconds while anything works."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from mmedpo.core.notes import printable
from mmedpo.events import Event, StageAdvanced, StageFinished, StageStarted, TrainingLogged
from mmedpo.store.run_files.counts import describe_counts

EVERY = 12.0  # seconds between two lines at most, with room for a machine that is busy


class ProgressLines:
    """Lines on the error output; while it is `beating`, also when no event comes, as within a slice."""

    def __init__(self, every: float = EVERY) -> None:
        """Say something at least every so many seconds."""
        self._every = every
        self._stage, self._total, self._done, self._done_before = "", 0, 0, 0
        self._began_at = self._printed_at = self._finished_at = time.monotonic()

    @contextmanager
    def beating(self) -> Iterator[ProgressLines]:
        """Say how far the work is whenever nothing was said for a while."""
        over = threading.Event()
        beat = threading.Thread(target=self._beat, args=(over,), daemon=True)
        beat.start()
        try:
            yield self
        finally:
            over.set()
            beat.join(1)

    def _beat(self, over: threading.Event) -> None:
        while not over.wait(self._every / 6):
            self._print_if_due()

    def see(self, event: Event) -> None:
        """Print an event."""
        if isinstance(event, StageStarted):
            self._stage, self._total, self._done, self._done_before = event.stage, event.total, event.done, event.done
            self._began_at = time.monotonic()
        elif isinstance(event, StageAdvanced):
            self._done += event.count
            self._print_if_due()
        elif isinstance(event, TrainingLogged):
            if not self._total:  # the first step of this process; those of an earlier one are done
                self._done_before = event.step - 1
            self._done, self._total = event.step, event.total
            self._print_if_due()
        elif isinstance(event, StageFinished):
            before, self._finished_at = self._finished_at, time.monotonic()  # a stage may start several parts
            self._began_at, self._stage = self._finished_at, f"after {event.stage}"
            self._total = self._done = self._done_before = 0
            self._print(f"{event.stage}: {describe_counts(event.counts)} ({self._finished_at - before:.1f} s)")

    def _print_if_due(self) -> None:
        if time.monotonic() - self._printed_at >= self._every * 5 / 6:
            self._print(f"{self._stage or 'starting'}: {self._describe_progress()}")

    def _describe_progress(self) -> str:
        """Say what is known: how much is done, how long it took so far, and how long the rest may take."""
        spent, new = time.monotonic() - self._began_at, self._done - self._done_before
        far = f"{self._done:,} of {self._total:,}" if self._total else ""
        if self._total and new > 0:
            return f"{far}, about {format_duration(spent * max(self._total - self._done, 0) / new)} left"
        return f"{far}{', ' if far else ''}{format_duration(spent)} so far"

    def _print(self, text: str) -> None:
        self._printed_at = time.monotonic()
        with suppress(OSError):  # a log on a full disk is no reason to lose the work
            print(printable(text), file=sys.stderr, flush=True)


def format_duration(seconds: float) -> str:
    """Say how long something takes, in seconds, minutes or hours."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
