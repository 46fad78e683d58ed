"""Measures of reports by learned scorers: RadGraph, CheXbert, RaTEScore, GREEN, through the package radeval."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from mmedpo import Case, DataError, Metric, Statistics, first_line, hookimpl, sum_statistics

Name = Literal["radgraph", "f1chexbert", "ratescore", "green", "radcliq", "bertscore", "bleu", "rouge"]


@hookimpl
def mmedpo_metrics() -> list[type[Metric]]:
    return [RadEvalMetric]


class RadEvalMetric(Metric):
    """Measure reports with the scorers of the package `radeval`; other cases are left out.

        evaluate:
          measure: [{use: radeval, scores: [radgraph, ratescore]}]

    Needs `pip install radeval`, and fetches each scorer's weights when it first runs: GREEN is a model of 7 billion
    parameters. Each measure is the mean of the values that radeval gives for each report, under radeval's own name;
    for CheXbert those are the shares of labels that agree (`f1chexbert_sample_acc_5`, `..._all`), not its corpus F1.
    """

    use: ClassVar[str] = "radeval"
    additive: ClassVar[bool] = True
    counts: ClassVar[str] = "cases of kind report"

    scores: tuple[Name, ...] = Field(default=("radgraph", "f1chexbert", "ratescore"), min_length=1)
    """Which scorers to ask."""

    @model_validator(mode="after")
    def _require_radeval(self) -> RadEvalMetric:
        if find_spec("radeval") is None:
            raise ValueError("needs the package radeval, which is not here: pip install 'mmedpo[radeval]'")
        return self

    def measure(self, cases: Sequence[Case], answers: Sequence[str]) -> list[Statistics]:
        """Return each report's scores. Raises DataError where a scorer's weights cannot be had."""
        asked = [place for place, case in enumerate(cases) if case.kind == "report"]
        rows: list[dict[str, float]] = [{} for _ in cases]
        found = self._score_reports([cases[at].answer for at in asked], [answers[at] for at in asked]) if asked else {}
        for number, at in enumerate(asked):
            rows[at] = {"report": 1.0, **{name: float(values[number]) for name, values in found.items()}}
        return list(rows)

    def combine(self, statistics: Sequence[Statistics]) -> dict[str, float]:
        """Return the means over reports."""
        sums = sum_statistics(statistics)
        reports = sums.pop("report", 0.0)
        return {name: value / reports for name, value in sums.items()} | {"report_count": reports} if reports else {}

    def _score_reports(self, truths: list[str], answers: list[str]) -> dict[str, Sequence[Any]]:
        try:
            from radeval import RadEval

            scorer = RadEval(metrics=list(self.scores), per_sample=True, show_progress=False)
        except ImportError as error:  # each scorer imports its own dependencies
            raise DataError(f"radeval lacks {error.name or error}: pip install 'mmedpo[radeval]'") from None
        except OSError as error:  # what transformers and the hub say of weights that are not here
            raise DataError(
                f"radeval cannot load {', '.join(self.scores)}: {first_line(error)}; fetch the weights on a machine"
                " with internet, or name other scores"
            ) from None
        found: dict[str, Sequence[Any]] = scorer(refs=truths, hyps=answers)
        return found
