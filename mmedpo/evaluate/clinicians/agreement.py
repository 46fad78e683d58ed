"""All coefficients of a set of rated pairs at once, so that one bootstrap gives all their intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import Any, ClassVar

from mmedpo.data.ratings import MOST_RELEVANT
from mmedpo.evaluate.clinicians.calibration import CalibrationBins
from mmedpo.evaluate.clinicians.coefficients import (
    Column,
    krippendorff_alpha,
    mean_gap,
    mean_of,
    nominal_kappa,
    pick_common,
    share_equal,
    spearman,
    weighted_kappa,
)
from mmedpo.evaluate.clinicians.rated_pairs import RatedPair
from mmedpo.evaluate.votes import first_votes
from mmedpo.registry.contracts.metric import Statistics

VERDICTS = ("chosen", "rejected", "both", "neither", "unclear")
OURS, THEIRS, RIGHT = "ours", "theirs", "right"
Columns = Mapping[str, Column]
RELEVANCE = {"spearman": spearman, "weighted_kappa": weighted_kappa, "gap": mean_gap}
VERDICT = {"verdict_kappa": nominal_kappa, "verdict_same": share_equal}


@dataclass(frozen=True)
class RaterComparison:
    """Two who have said something of the same pairs."""

    about: str  # the key in the result: between, consistency, consensus, voters
    who: Mapping[str, Any]  # what the result says of them
    relevances: tuple[str, str]  # their columns
    verdicts: tuple[str, str] | None = None


class AgreementMeasures:
    """Make every coefficient from rows of what was said of each pair, as a metric makes measures."""

    additive: ClassVar[bool] = False
    better: ClassVar[Mapping[str, int]] = {}

    def __init__(self, rated: Sequence[RatedPair], raters: Sequence[str]) -> None:
        """Take all rated pairs, and who rated them."""
        self.rows = [make_row(one) for one in rated]
        voters = {name for one in rated for name in first_votes(one.item.score)}
        self.own_votes = sorted(voters & {*raters})  # who cannot be held against themselves
        self.comparisons = list_comparisons(raters, sorted(voters - {*raters}))
        whole = self.columns(self.rows)
        self.calibration = CalibrationBins(*pick_common(whole[OURS], whole[THEIRS]))
        self._measures: dict[str, Callable[[Columns], float | None]] = {}
        self._add_shared(raters)
        for number, comparison in enumerate(self.comparisons):
            self._add_comparison(number, comparison)

    def _add_shared(self, raters: Sequence[str]) -> None:
        for name, prefix, level in (("relevance", "relevance", "interval"), ("verdict", "verdict", "nominal")):
            names = [f"{prefix}:{rater}" for rater in raters]
            self._measures[f"alpha:{name}"] = partial(_alpha, names, level)
        self._measures[RIGHT] = lambda columns: mean_of(columns[RIGHT])
        self._measures["calibration:error"] = lambda columns: self.calibration.error(columns[OURS], columns[THEIRS])
        for at in range(len(self.calibration)):
            self._measures[f"calibration:{at}"] = partial(self._bin_mean, at)

    def _bin_mean(self, at: int, columns: Columns) -> float | None:
        return self.calibration.mean_theirs(at, columns[OURS], columns[THEIRS])

    def _add_comparison(self, number: int, comparison: RaterComparison) -> None:
        for names, measures in ((comparison.relevances, RELEVANCE), (comparison.verdicts, VERDICT)):
            if names:
                self._measures |= {f"{number}:{name}": partial(_compare, one, names) for name, one in measures.items()}

    def columns(self, rows: Sequence[Statistics]) -> Columns:
        """Return what rows hold, name by name."""
        import numpy as np

        names = {name for row in self.rows for name in row} | {OURS, THEIRS, RIGHT}
        return {name: np.array([row.get(name, np.nan) for row in rows], dtype=float) for name in names}

    def combine(self, statistics: Sequence[Statistics]) -> dict[str, float]:
        """Return every coefficient that is defined."""
        import numpy as np

        columns = _RatingColumns(self.columns(statistics), np.full(len(statistics), np.nan))
        made = ((name, measure(columns)) for name, measure in self._measures.items())
        return {name: value for name, value in made if value is not None}

    def count_common(self, comparison: RaterComparison) -> int:
        """Return of how many pairs both gave a relevance."""
        one, other = comparison.relevances
        return sum(one in row and other in row for row in self.rows)


class _RatingColumns(dict[str, Column]):
    """Columns by name; one that no row has is empty."""

    def __init__(self, columns: Columns, empty: Column) -> None:
        super().__init__(columns)
        self._empty = empty

    def __missing__(self, name: str) -> Column:
        return self._empty


def _compare(measure: Callable[[Column, Column], float | None], names: tuple[str, str], columns: Columns) -> Any:
    return measure(columns[names[0]], columns[names[1]])


def _alpha(names: Sequence[str], level: str, columns: Columns) -> float | None:
    return krippendorff_alpha([columns[name] for name in names], level) if len(names) > 1 else None


def list_comparisons(raters: Sequence[str], voters: Sequence[str]) -> list[RaterComparison]:
    """Name all who are compared: raters with each other and themselves, consensus and voters with raters."""
    between = [
        RaterComparison("between", {"raters": [a, b]}, _name_columns("relevance", a, b), _name_columns("verdict", a, b))
        for a, b in combinations(raters, 2)
    ]
    alone = [
        RaterComparison(
            "consistency", {"rater": a}, (f"relevance:{a}", f"again:{a}"), (f"verdict:{a}", f"verdict-again:{a}")
        )
        for a in raters
    ]
    everybody = RaterComparison("consensus", {"rater": None}, (OURS, THEIRS))
    consensus = [RaterComparison("consensus", {"rater": a}, (OURS, f"relevance:{a}")) for a in raters]
    votes = [RaterComparison("voters", {"voter": name}, (f"voter:{name}", THEIRS)) for name in voters]
    return [*between, *alone, everybody, *(consensus if len(raters) > 1 else []), *votes]


def _name_columns(what: str, one: str, other: str) -> tuple[str, str]:
    return f"{what}:{one}", f"{what}:{other}"


def make_row(rated: RatedPair) -> dict[str, float]:
    """Return what was said of a pair: each rater's first and second word, ours, and each voter's first."""
    votes = first_votes(rated.item.score).items()
    row: dict[str, float] = {f"voter:{name}": vote for name, vote in votes if 0 <= vote <= MOST_RELEVANT}
    if rated.item.score.relevance is not None:
        row[OURS] = MOST_RELEVANT * float(rated.item.score.relevance)
    if rated.relevance is not None:
        row[THEIRS] = rated.relevance
    verdicts = [verdict for verdict in rated.verdicts.values() if verdict in ("chosen", "rejected")]
    if verdicts:
        row[RIGHT] = verdicts.count("chosen") / len(verdicts)
    for rater in {one.rating.rater for one in rated.opinions}:
        row |= _rater_cells(rated, rater)
    return row


def _rater_cells(rated: RatedPair, rater: str) -> dict[str, float]:
    opinions = rated.of_rater(rater)
    relevances = [one.rating.relevance for one in opinions if one.rating.relevance is not None]
    verdicts = [float(VERDICTS.index(one.verdict)) for one in opinions if one.verdict]
    cells = dict(zip((f"relevance:{rater}", f"again:{rater}"), relevances, strict=False))
    return {**cells, **dict(zip((f"verdict:{rater}", f"verdict-again:{rater}"), verdicts, strict=False))}
