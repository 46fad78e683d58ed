"""What the model knows, wherever its threshold lies: how likely it finds yes against no, before and after."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from mmedpo.core.images import name_images, order_by_images
from mmedpo.core.lazy_sequence import pick_items
from mmedpo.core.records import Case
from mmedpo.data.tables import closed_answer
from mmedpo.errors import DataError
from mmedpo.evaluate.answering import EvaluationAnswers
from mmedpo.evaluate.statistics_table import StatisticsTable
from mmedpo.registry.contracts.backbone import Backbone
from mmedpo.registry.contracts.metric import Statistics
from mmedpo.runtime.context import RunContext
from mmedpo.runtime.slice_work import SliceWork
from mmedpo.runtime.slices import work_by_slice
from mmedpo.runtime.stage_parts import StageParts, open_parts

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

BINS = 10  # of equal mass, in which p(yes) is held against the share of yes
NEAR = 0.02  # a change of accuracy that is none
LEANING, TRUTH = "leaning", "yes"  # what is counted of a case: log p(yes) - log p(no), and 1 where yes is true


class ConfidenceMetric:
    """How well yes against no tells where yes is true, and whether p(yes) is the share of yes."""

    use = "confidence"
    additive = False
    better: ClassVar[dict[str, int]] = {
        "closed_auroc": 1,
        "closed_forced_choice": 1,
        "closed_brier": -1,
        "closed_ece": -1,
    }

    def measure(self, cases: Sequence[Case], leanings: Sequence[float | None]) -> list[Statistics]:
        """Return each case's log p(yes) - log p(no) beside its truth, where it was asked."""
        return [
            {} if leaning is None else {LEANING: leaning, TRUTH: float(closed_answer(case.answer) == "yes")}
            for case, leaning in zip(cases, leanings, strict=True)
        ]

    def combine(self, statistics: Sequence[Statistics]) -> dict[str, float]:
        """Return the measures of the yes-or-no questions; AUROC only where both answers are true of some."""
        return self.prepare(statistics)([1] * len(statistics))

    def prepare(self, statistics: Sequence[Statistics]) -> Callable[[Any], dict[str, float]]:
        """Return what measures these cases, each as often as it is told; they are put in order once."""
        import numpy as np

        asked = [at for at, row in enumerate(statistics) if LEANING in row]
        ordered = sorted(asked, key=lambda at: (statistics[at][LEANING], statistics[at][TRUTH]))
        places = np.array(ordered, int)
        leanings, true = (np.array([statistics[at][name] for at in ordered]) for name in (LEANING, TRUTH))
        return lambda counts: _measure_ordered(leanings, true, np.asarray(counts)[places])

    def cautions(self, before: Mapping[str, float], after: Mapping[str, float] | None) -> list[str]:
        """Say where a threshold moved and what the model can tell apart did not."""
        names = ("closed_forced_choice", "closed_auroc")
        if after is None or not all(name in side for name in names for side in (before, after)):
            return []
        moved, learned = (after[name] - before[name] for name in names)
        if abs(moved) <= NEAR or learned * moved >= moved * moved / 5:
            return []
        return [
            f"forced choice changed by {moved:+.3f} and AUROC by {learned:+.3f}: what moved is mostly the threshold"
            f" between yes and no, and not what the model can tell apart (mean p(yes) went from"
            f" {before['closed_p_yes']:.3f} to {after['closed_p_yes']:.3f}, yes is true of"
            f" {after['closed_yes_true']:.3f})"
        ]


def _measure_ordered(leanings: Array, true: Array, counts: Array) -> dict[str, float]:
    """Return the measures of questions that are ordered by how much they lean to yes, each counted so often."""
    import numpy as np

    number, yes = int(counts.sum()), int((counts * true).sum())
    if not number:
        return {}
    p = to_probability(leanings)
    auroc = {"closed_auroc": _rank_leanings(leanings, counts * true, counts * (1 - true))} if 0 < yes < number else {}
    gaps = [abs(float(some.sum())) for some in np.array_split(np.repeat(p - true, counts), min(BINS, number))]
    return auroc | {
        "closed_forced_choice": float(counts[(leanings > 0) == (true > 0)].sum()) / number,
        "closed_brier": float((counts * (p - true) ** 2).sum()) / number,
        "closed_ece": sum(gaps) / number,
        "closed_p_yes": float((counts * p).sum()) / number,
        "closed_yes_true": yes / number,
        "yes_no_count": float(number),
    }


def _rank_leanings(leanings: Array, yes: Array, no: Array) -> float:
    """Return the chance that a question whose truth is yes leans more to it than one whose truth is no; ties half."""
    import numpy as np

    starts = np.flatnonzero(np.diff(leanings, prepend=-np.inf))  # of questions that lean alike
    of_yes, of_no = (np.add.reduceat(counts, starts) for counts in (yes, no))
    below = of_no.cumsum() - of_no / 2
    return float((of_yes * below).sum() / (yes.sum() * no.sum()))


def to_probability(leanings: Array) -> Array:
    """Return p(yes) where yes and no are all there is."""
    import numpy as np

    return 1 / (1 + np.exp(-np.clip(leanings, -500, 500)))


def bin_confidence(statistics: Sequence[Statistics]) -> list[tuple[float, float]]:
    """Return of each bin of equal mass the mean p(yes) and the share of yes; fewer bins of few questions."""
    import numpy as np

    asked = sorted((row[LEANING], row[TRUTH]) for row in statistics if LEANING in row)
    parts = np.array_split(np.array(asked), min(BINS, len(asked))) if asked else []
    return [(float(to_probability(some[:, 0]).mean()), float(some[:, 1].mean())) for some in parts]


def measure_leanings(run: RunContext, answers: EvaluationAnswers) -> list[StatisticsTable]:
    """Ask each model how likely it finds yes against no. Raises DataError where no question is answered yes or no."""
    indices = [index for index, case in enumerate(answers.cases) if is_yes_or_no(case)]
    if not indices:
        raise DataError("evaluate.confidence: no closed question of the evaluation is answered yes or no")
    images = [name_images(answers.cases[index].images) for index in indices]
    asked = [indices[place] for place in order_by_images(images)]
    stages = ("evaluate: confidence before", "evaluate: confidence after")
    return [
        StatisticsTable(
            ConfidenceMetric().measure(answers.cases, _ask_leanings(run, side.backbone, answers.cases, asked, stage))
        )
        for side, stage in zip(answers.sides, stages, strict=False)
    ]


def is_yes_or_no(case: Case) -> bool:
    """Tell a closed question whose true answer is yes or no."""
    return case.kind == "closed" and closed_answer(case.answer) is not None


def _ask_leanings(
    run: RunContext, backbone: Backbone, cases: Sequence[Case], asked: Sequence[int], stage: str
) -> list[float | None]:
    """Return the leaning of each case, None of those that are not asked."""
    with open_parts(run) as opened:
        work = LeaningWork(backbone, "evaluate.confidence")
        slices = work_by_slice(opened, work, pick_items(cases, asked), _read_slice, stage=stage)
    leanings = dict(zip(asked, (leaning for some in slices for leaning in some), strict=True))
    return [leanings.get(index) for index in range(len(cases))]


@dataclass(frozen=True)
class LeaningWork(SliceWork[Case]):
    """A look at how likely a model finds yes against no."""

    part: Backbone

    def do(self, opened: StageParts, some: Sequence[Case]) -> Any:
        """Return log p(yes) - log p(no) of each question."""
        from mmedpo.models import yes_leanings

        return [float(f"{leaning:.6g}") for leaning in yes_leanings(opened(self.part), some)]


def _read_slice(value: Any, some: Sequence[Case]) -> list[float]:
    """Take the leanings of a slice. Raises ValueError for what are none."""
    leanings = [float(one) for one in value]
    if len(leanings) != len(some) or not all(abs(one) < float("inf") for one in leanings):
        raise ValueError("these are no leanings of the questions that were asked")
    return leanings
