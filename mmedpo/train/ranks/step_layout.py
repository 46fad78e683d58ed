"""How processes share the pairs of an optimiser step. Imports neither torch nor numpy."""

from __future__ import annotations

from dataclasses import dataclass

from mmedpo.errors import RecipeError
from mmedpo.recipe.train_options import TrainOptions


@dataclass(frozen=True)
class StepLayout:
    """How the processes share a step: it has as many pairs as one process alone would give it in all its batches."""

    batch: int  # pairs that a process runs together at most
    accumulate: int = 1  # batches of a step, where one process runs them all
    processes: int = 1
    process: int = 0  # which one this is

    @property
    def step(self) -> int:
        """Pairs in a step."""
        return self.batch * self.accumulate

    @property
    def rounds(self) -> int:
        """Batches of a step that each process runs."""
        return -(-self.step // (self.batch * self.processes))

    @property
    def size(self) -> int:
        """Pairs in each of them."""
        return -(-self.step // (self.rounds * self.processes))


def share_steps(options: TrainOptions, processes: int, process: int = 0) -> StepLayout:
    """Share the steps of a training among processes. Raises RecipeError where a step has no pair for each of them."""
    if idle := options.explain_idle(processes):
        raise RecipeError(f"train.{idle}")
    return StepLayout(options.batch_size, options.accumulate, processes, process)
