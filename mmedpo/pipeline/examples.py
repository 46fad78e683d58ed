"""What training learns from: a run's weighted pairs, or every case that was read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmedpo.core.lazy_sequence import LazySequence
from mmedpo.core.records import Case, Pair, Score, WeightedPair
from mmedpo.curate.example_file import write_examples
from mmedpo.curate.reading import Records, gather_cases
from mmedpo.errors import DataError
from mmedpo.recipe.model import Recipe
from mmedpo.runtime.context import RunContext
from mmedpo.store.run_files.format import CASES
from mmedpo.store.run_files.reader import read_pairs, read_run
from mmedpo.store.run_files.rounds import find_result


def keep_cases(run: RunContext, records: Records) -> None:
    """Write the cases that were read, those of ready pairs among them, where training is to learn them."""
    if run.recipe.trains_on_cases:
        write_examples(run, CASES, gather_cases(records)[0])


def read_examples(folder: Path, recipe: Recipe) -> Sequence[WeightedPair]:
    """Return what a recipe trains on, as it lies in its run folder. Raises DataError when it is not there yet."""
    if not recipe.trains_on_cases:
        return read_pairs(folder)
    path = find_result(folder) / CASES
    if not path.exists():
        raise DataError(f"{path}: the cases are not there yet; run `mmedpo run RECIPE --until weigh` first")
    return _take_cases(read_run(folder).cases())


def read_learned(folder: Path) -> Sequence[WeightedPair]:
    """Return what an adapter learned from that lies in the folder of a run."""
    return _take_cases(read_run(folder).cases()) if (folder / CASES).exists() else read_pairs(folder)


def _take_cases(cases: Sequence[Case]) -> Sequence[WeightedPair]:
    return LazySequence(len(cases), lambda at: _make_example(cases[at]))


def _make_example(case: Case) -> WeightedPair:
    """Return a case as the trainer takes it: nothing is compared, so both sides are its own."""
    side = case.side(case.answer)
    return WeightedPair(Pair(case, side, side, "text"), Score(None), 1.0)
