"""Checks of metrics and weightings, which count over a whole set, and of observers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

from mmedpo.core.records import Case, Score
from mmedpo.core.stage import Stage
from mmedpo.events import Event, RunFinished, StageAdvanced, StageCount, StageFinished, StageStarted, TrainingLogged
from mmedpo.registry.conformance.metric import CheckedMetric
from mmedpo.registry.conformance.weighting import check_weights
from mmedpo.registry.contracts.backbone import LiveBackbone
from mmedpo.registry.contracts.metric import Metric
from mmedpo.registry.contracts.weighting import Weighting
from mmedpo.store.run_files.format import write_file
from mmedpo.store.run_files.record import HostFacts, RunRecord, WorkingFolder
from mmedpo.testing.checks.batches import PartVerb, other_generators
from mmedpo.testing.checks.check import Check, Trial
from mmedpo.testing.tiny import tiny_cases

RELEVANCES = (0.0, 0.3, 0.3, 1.0)
EVENTS: list[Event] = [
    StageStarted("read", 2),
    StageAdvanced("read", 2),
    StageFinished("read", (StageCount("cases", 2), StageCount("left_out", 1, reason="its image is missing"))),
    TrainingLogged(1, 2, {"loss": 0.7}),
]


class MeasureVerb(PartVerb):
    """Count over answers, right ones and others."""

    word, noun = "measure", "case"

    def make_items(self, trial: Trial, cases: Sequence[Case]) -> list[tuple[Case, str]]:
        """Return the cases, each with the right answer, none, and another."""
        return [
            (case, answer) for case in cases for answer in (case.answer, "", "No, there is an effusion on the left")
        ]

    def ask(
        self, trial: Trial, live: Any, items: Sequence[tuple[Case, str]], backbone: LiveBackbone | None
    ) -> list[Any]:
        """Return the statistics of each case, of which measures are made."""
        metric = CheckedMetric(cast(Metric, trial.part), trial.plugin)
        rows = metric.measure([case for case, _ in items], [answer for _, answer in items])
        for some in (rows, rows[:1] * 3, rows[1:], []):  # any resample
            measures = metric.combine(some)
            metric.check_additive(some)
            metric.cautions(measures, None)
            metric.cautions(measures, measures)
        return [dict(row) for row in rows]


def _check_resamples(trial: Trial) -> None:
    metric = CheckedMetric(cast(Metric, trial.part), trial.plugin)
    cases = [*tiny_cases(), replace(tiny_cases(1)[0], id="tiny-report", kind="report")]
    rows = metric.measure(cases, [case.answer for case in cases])
    one, other = metric.combine(rows), metric.combine(rows[::-1])
    if one.keys() != other.keys() or any(abs(one[name] - other[name]) > 1e-9 for name in one):
        raise trial.make_breach(
            "`combine` gives other measures for the same cases in another order; order says nothing"
        )


RESAMPLES = Check("resamples", "`combine` gives the same measures in any order", _check_resamples)


def _weigh(trial: Trial, scores: Sequence[Score]) -> list[float]:
    return check_weights(trial.plugin, cast(Weighting, trial.part).weigh(scores), len(scores))


def _scores() -> list[Score]:
    return [Score(relevance, scorer="tiny") for relevance in RELEVANCES]


def _check_weights(trial: Trial) -> None:
    _weigh(trial, _scores())


def _check_one_weight(trial: Trial) -> None:
    _weigh(trial, _scores()[3:])


def _check_equal_scores(trial: Trial) -> None:
    _weigh(trial, [Score(0.5, scorer="tiny")] * 3)


def _check_order_of_weights(trial: Trial) -> None:
    _weigh(trial, _scores()[::-1])


def _check_same_weights(trial: Trial) -> None:
    with other_generators(1):
        one = _weigh(trial, _scores())
    with other_generators(2):
        other = _weigh(trial, _scores())
    if one != other:
        raise trial.make_breach(
            "`weigh` gave the same scores other weights; draw by mmedpo.seed_for and an option alone"
        )


WEIGHTING_CHECKS = [
    Check("a batch", "`weigh` gives each score of several a finite weight of at least 0", _check_weights),
    Check("one alone", "`weigh` takes a score alone", _check_one_weight),
    Check("one twice", "`weigh` takes scores that are all the same", _check_equal_scores),
    Check("any order", "`weigh` takes the scores in any order", _check_order_of_weights),
    Check("the same again", "gives the same scores the same weights", _check_same_weights),
]


def _check_events(trial: Trial) -> None:
    with TemporaryDirectory() as folder:
        _write_run(Path(folder))
        for event in [*EVENTS, RunFinished(folder, {})]:
            trial.live().see(event)


def _write_run(folder: Path) -> None:
    """Write what `read_run` reads of a run without pairs."""
    record = RunRecord(
        state="finished", until=Stage.READ, recipe={}, recipe_file="recipe.yaml", recipe_hash="", limit=None,
        started_in=WorkingFolder(absolute=str(folder), from_run="."), restricted=False, seed=0, packages={}, plugins=(),
        host=HostFacts(name="here", system="", python=""), flow=(), detector={}, scoring={}, spent={},
    )  # fmt: skip
    write_file(folder, record)


OBSERVER_CHECKS = [Check("events", "`see` takes every kind of event of a run", _check_events)]
