"""A run's events as bars on a terminal, as plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from mmedpo.cli.display.terminal import Terminal
from mmedpo.events import Event, EventObserver, StageAdvanced, StageFinished, StageStarted, TrainingLogged
from mmedpo.runtime.heartbeat import ProgressLines
from mmedpo.store.run_files.counts import describe_counts

if TYPE_CHECKING:
    from mmedpo.recipe.model import LoadedRecipe
    from mmedpo.recipe.planning import PlannedRun


@contextmanager
def show_events() -> Iterator[EventObserver]:
    """Show a run's events: bars with rate and time left on a terminal, a line a stage elsewhere."""
    console = Terminal(stderr=True)
    if not console.is_terminal:
        with ProgressLines().beating() as plain:
            yield plain.see
        return
    columns = [
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    ]
    with Progress(*columns, console=console) as progress:
        yield ProgressBars(progress).see


class ProgressBars:
    """A bar a stage, with the rate of what this run did itself."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task: TaskID | None = None
        self._began, self._done = 0.0, 0

    def see(self, event: Event) -> None:
        """Draw an event."""
        if isinstance(event, StageStarted):
            if self._task is not None:  # one that waits for a batch is left for another run
                self._progress.stop_task(self._task)
            self._began, self._done = time.monotonic(), 0
            total = event.total or None
            self._task = self._progress.add_task(event.stage, total=total, completed=event.done, rate="")
        elif isinstance(event, StageAdvanced):
            self._advance(event.count)
        elif isinstance(event, TrainingLogged) and self._task is not None:
            loss = event.values.get("loss")
            said = f"loss {loss:.4f}" if loss is not None else ""
            self._progress.update(self._task, total=event.total, completed=event.step, rate=said)
        elif isinstance(event, StageFinished):
            self._finish(event)

    def _advance(self, count: int) -> None:
        assert self._task is not None
        self._done += count
        seconds = time.monotonic() - self._began
        rate = f"{self._done / seconds:.1f}/s" if seconds > 0 else ""
        self._progress.update(self._task, advance=count, rate=rate)

    def _finish(self, event: StageFinished) -> None:
        if self._task is not None:
            task = next(task for task in self._progress.tasks if task.id == self._task)
            total = task.total or max((count.count for count in event.counts), default=1)
            self._progress.update(self._task, total=total, completed=total)
        self._progress.console.print(
            f"[bold]{escape(event.stage)}[/] {escape(describe_counts(event.counts))}", highlight=False, markup=True
        )


def show_variant_start(one: PlannedRun) -> None:
    """Say which of a recipe's variants begins."""
    Terminal(stderr=True, highlight=False).print(
        f"[bold]{one.variant}[/], seed {one.seed}", soft_wrap=True, markup=True
    )


def show_round_start(one: LoadedRecipe) -> None:
    """Say which of a recipe's rounds begins."""
    assert one.round is not None
    Terminal(stderr=True, highlight=False).print(f"[bold]round {one.round.number}[/]", soft_wrap=True, markup=True)
