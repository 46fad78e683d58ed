"""The measures in a run folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmedpo.core.records import WeightedPair
from mmedpo.evaluate.evaluation import evaluate_models
from mmedpo.pipeline.wanted import measured_adapter, measures_key
from mmedpo.recipe.model import EvaluateOptions
from mmedpo.runtime.context import RunContext
from mmedpo.store.result_keys import claim_result
from mmedpo.store.run_files.format import PAIRS, read_file, write_file
from mmedpo.store.run_files.measures import MeasureRecord
from mmedpo.store.run_files.reader import read_pairs


def measure_models(run: RunContext, options: EvaluateOptions, weighted: Sequence[WeightedPair]) -> MeasureRecord:
    """Measure before and after, and write measures.json when it says something new."""
    claim_result(run.folder, "measures", measures_key(run))
    adapter = measured_adapter(run)
    learned = weighted if run.recipe.train or adapter is None else _read_learned_pairs(adapter)
    measured = evaluate_models(run, options, adapter, learned)
    if read_file(run.folder, MeasureRecord) != measured:
        run.did = True
        write_file(run.folder, measured)
    return measured


def _read_learned_pairs(adapter: Path) -> Sequence[WeightedPair] | None:
    """Return the pairs that somebody's adapter learned from, where it lies in the folder of a run; None elsewhere."""
    return read_pairs(adapter.parent) if (adapter.parent / PAIRS).exists() else None
