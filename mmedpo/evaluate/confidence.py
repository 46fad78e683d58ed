"""What the model knows, wherever its threshold lies: how likely it finds yes against no, before and after."""

from __future__ import annotations

from collections.abc import Sequence
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
        leanings, true = read_leanings(statistics)
        if not len(true):
            return {}
        p = to_probability(leanings)
        auroc = {"closed_auroc": rank_leanings(leanings, true)} if 0 < true.sum() < len(true) else {}
        return auroc | {
            "closed_forced_choice": float(((leanings > 0) == (true > 0)).mean()),
            "closed_brier": float(((p - true) ** 2).mean()),
            "closed_ece": calibration_error(p, true),
            "closed_p_yes": float(p.mean()),
            "closed_yes_true": float(true.mean()),
            "yes_no_count": float(len(true)),
        }


def read_leanings(statistics: Sequence[Statistics]) -> tuple[Array, Array]:
    """Return the leanings, and 1 where yes is true, of the cases that have one."""
    import numpy as np

    asked = [row for row in statistics if LEANING in row]
    return np.array([row[LEANING] for row in asked]), np.array([row[TRUTH] for row in asked])


def to_probability(leanings: Array) -> Array:
    """Return p(yes) where yes and no are all there is."""
    import numpy as np

    return 1 / (1 + np.exp(-np.clip(leanings, -500, 500)))


def rank_leanings(leanings: Array, true: Array) -> float:
    """Return the chance that a question whose truth is yes leans more to it than one whose truth is no; ties half."""
    import numpy as np

    _, place, counts = np.unique(leanings, return_inverse=True, return_counts=True)
    ranks = (counts.cumsum() - (counts - 1) / 2)[place]  # mean ranks, from 1
    yes = true.sum()
    return float((ranks[true > 0].sum() - yes * (yes + 1) / 2) / (yes * (len(true) - yes)))


def calibration_error(p: Array, true: Array) -> float:
    """Return by how much the mean p(yes) of a bin is off its share of yes, over bins by their number of questions."""
    gaps = (len(some) * abs(float(some.mean() - of_yes.mean())) for some, of_yes in cut_bins(p, true))
    return sum(gaps) / len(p)


def cut_bins(p: Array, true: Array) -> list[tuple[Array, Array]]:
    """Cut questions, by p(yes), into bins of equal mass; fewer where there are fewer questions."""
    import numpy as np

    order = np.lexsort((true, p))
    count = min(BINS, len(p))
    return list(zip(np.array_split(p[order], count), np.array_split(true[order], count), strict=True))


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
