"""The contract of metrics, which compare answers with the clinicians'."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Protocol

from pydantic import Field

from mmedpo.core.records import Case
from mmedpo.registry.contracts.part import Part

Direction = Annotated[int, Field(ge=-1, le=1)]  # of a measure: 1 where more is better, -1 where less is
Statistics = Mapping[str, float]  # of one case; a statistic that does not apply to the case is left out


class MeasureCombiner(Protocol):
    """What makes measures of statistics: a metric, or a metric that is checked."""

    @property
    def additive(self) -> bool:
        """Whether sums of statistics give the measures of their cases."""
        ...

    @property
    def better(self) -> Mapping[str, int]:
        """Return 1 for a measure of which more is better, -1 where less is."""
        ...

    def combine(self, statistics: Sequence[Statistics]) -> dict[str, float]:
        """Return the measures of a set of cases."""
        ...


class Metric(Part, ABC):
    """Compare answers with the clinicians'."""

    additive: ClassVar[bool] = False
    """True when `combine` of any rows equals `combine([totals(rows)])`; intervals then take a fraction of the time.

    `mmedpo.sum_statistics` sums each statistic over the rows that have it; one that no row has is not in the sum.
    """
    better: ClassVar[Mapping[str, Direction]] = {}  # by measure; one that is not here is neither
    counts: ClassVar[str] = ""  # which cases it counts, for the end of a sentence: "cases of kind report"

    @abstractmethod
    def measure(self, cases: Sequence[Case], answers: Sequence[str]) -> list[Statistics]:
        """Return the statistics of each case, in order, all that `combine` needs; they come some at a time."""

    @abstractmethod
    def combine(self, statistics: Sequence[Statistics]) -> dict[str, float]:
        """Return the measures of a set of cases; must work for any resample of them.

        A measure is a finite number; one that is not defined for these cases is left out.
        """

    def cautions(self, before: Mapping[str, float], after: Mapping[str, float] | None) -> list[str]:
        """Return sentences that must stand beside these measures, lest they mislead; by default none.

        `after` is None where nothing was trained.
        """
        return []
