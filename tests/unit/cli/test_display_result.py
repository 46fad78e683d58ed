"""The table before and after."""

from __future__ import annotations

from mmedpo.cli.display.result import _build_table
from mmedpo.store.run_files.measures import MeasureChange, MetricResult


def test_what_is_the_same_in_every_resample_shows_no_difference() -> None:
    count, same = {"count": 4.0}, MeasureChange(value=0.0, low=0.0, high=0.0, p=1.0)
    measured = MetricResult(use="x", better={}, before=count, after=count, difference={"count": same})
    table = _build_table(measured)
    assert [list(column.cells) for column in table.columns] == [["count"], ["4"], ["4"], [""], [""]]
