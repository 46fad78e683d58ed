"""The measures in a run folder."""

from __future__ import annotations

from mmedpo.evaluate.evaluation import evaluate_models
from mmedpo.evaluate.overlap import LearnedExamples
from mmedpo.pipeline.lineage import trace_lineage
from mmedpo.pipeline.wanted import measured_adapter, measures_key
from mmedpo.recipe.model import EvaluateOptions
from mmedpo.runtime.context import RunContext
from mmedpo.store.result_keys import claim_result
from mmedpo.store.run_files.format import read_file, write_file
from mmedpo.store.run_files.measures import MeasureRecord


def measure_models(run: RunContext, options: EvaluateOptions) -> MeasureRecord:
    """Measure before and after, and write measures.json when it says something new."""
    claim_result(run.folder, "measures", measures_key(run))
    adapter = measured_adapter(run)
    lineage = trace_lineage(run.folder, run.recipe, adapter)
    measured = evaluate_models(run, options, adapter, LearnedExamples(lineage.examples(), lineage.complete))
    if read_file(run.folder, MeasureRecord) != measured:
        run.did = True
        write_file(run.folder, measured)
    return measured
