"""The tables of measures, and what may be said of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mmedpo.report.facts import RunFacts


@dataclass(frozen=True)
class MeasureRow:
    """A measure before and after."""

    use: str
    name: str
    before: float
    after: float | None
    difference: float | None  # None for a count, and for what is the same in every resample
    low: float | None
    high: float | None
    better: int  # 1: more is better, -1: less is, 0: neither

    @property
    def sure(self) -> bool:
        """Whether the interval of the difference excludes zero."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)

    @property
    def verdict(self) -> str:
        """What the interval says."""
        if self.difference is None or self.low is None:
            return ""
        if not self.sure:
            return "not resolved"
        return {1: "better", -1: "worse", 0: "differs"}[self.better * (1 if self.difference > 0 else -1)]


@dataclass(frozen=True)
class MeasureTable:
    """The measures of one metric, and what must be said beside them."""

    use: str
    lines: list[MeasureRow]
    cautions: list[str]
    nothing: str  # why there is no line


def make_tables(facts: RunFacts) -> list[MeasureTable]:
    """Make a table of each metric."""
    return [
        MeasureTable(measured["use"], list(_lines(measured)), measured.get("cautions", []), measured.get("nothing", ""))
        for measured in facts.measures.get("measures", ())
    ]


def _lines(measured: Mapping[str, Any]) -> Iterator[MeasureRow]:
    after, ways = measured.get("after", {}), measured.get("better", {})
    for name, before in measured["before"].items():
        gap = measured.get("difference", {}).get(name, {})
        differs = any(gap.get(key) for key in ("value", "low", "high"))
        value, low, high = (gap.get(key) if differs else None for key in ("value", "low", "high"))
        yield MeasureRow(measured["use"], name, before, after.get(name), value, low, high, ways.get(name, 0))


def main_lines(found: list[MeasureTable]) -> list[MeasureRow]:
    """Return the measures that have a better and a worse, those of answers before all others."""
    lines = [line for table in found for line in table.lines if line.better and (line.before or line.after)]
    return sorted(lines, key=lambda line: line.use == "attention")
