"""A table of statistics is what a list of them is, at a fraction of the memory."""

from __future__ import annotations

from mmedpo.evaluate.statistics_table import StatisticsTable


def test_rows_come_back_as_they_were_whatever_they_have() -> None:
    rows = [{"a": 1.0, "b": 0.1}, {}, {"b": 0.3, "a": 2.0}, {"c": 1e-300}]
    table = StatisticsTable(rows[:2])
    table.extend(rows[2:])
    assert list(table) == rows
    assert [list(row) for row in table] == [list(row) for row in rows], "names in their order"
    assert (len(table), table[-1], table[1:3]) == (4, rows[-1], rows[1:3])
    found = [(name, value) for name, places, values in table.columns() for value in zip(places, values, strict=True)]
    assert sorted(found) == sorted((name, (at, row[name])) for at, row in enumerate(rows) for name in row)
