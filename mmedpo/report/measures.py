"""The tables of measures, and what may be said of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mmedpo.registry.contracts.answer_limits import AnswerLimits
from mmedpo.report.facts import RunFacts
from mmedpo.store.run_files.measures import MeasureRecord, MetricResult


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
    cautions: Sequence[str]
    nothing: str  # why there is no line


def make_tables(facts: RunFacts) -> list[MeasureTable]:
    """Make a table of each metric."""
    found = facts.measures.measures if facts.measures else ()
    return [MeasureTable(one.use, list(_lines(one)), one.cautions, one.nothing) for one in found]


def _lines(measured: MetricResult) -> Iterator[MeasureRow]:
    after = measured.after or {}
    for name, before in measured.before.items():
        gap = measured.changed(name)
        ends = (gap.value, gap.low, gap.high) if gap else (None, None, None)
        better = measured.better.get(name, 0)
        yield MeasureRow(measured.use, name, before, after.get(name), ends[0], ends[1], ends[2], better)


def describe_cut_answers(measures: MeasureRecord) -> str:
    """Say how many answers are measured that the models were not done with; "" where all were."""
    if not any(measures.cut.values()):
        return ""
    counts = ", ".join(f"{count:,} {side}" for side, count in measures.cut.items())
    limits = AnswerLimits(**measures.max_new_tokens)
    return (
        f"of {measures.cases:,} answers each were cut at evaluate.max_new_tokens={limits}: {counts};"
        " they are measured as far as they go: raise it, or see whether the model still ends its answers"
    )


def main_lines(found: list[MeasureTable]) -> list[MeasureRow]:
    """Return the measures that have a better and a worse, those of answers before all others."""
    lines = [line for table in found for line in table.lines if line.better and (line.before or line.after)]
    return sorted(lines, key=lambda line: line.use == "attention")
