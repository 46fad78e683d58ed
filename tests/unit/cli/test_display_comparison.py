"""Runs side by side."""

from __future__ import annotations

import pytest

from mmedpo.cli.display.comparison import show_variants
from mmedpo.store.run_files.measures import VariantTable


def test_a_measure_that_a_variant_lacks_leaves_its_cell_empty(capsys: pytest.CaptureFixture[str]) -> None:
    row = {"runs": 1, "metric": "findings", "value": 0.5}
    rows = [
        {**row, "method": "start", "measure": "place_accuracy"},
        {**row, "method": "one", "measure": "place_accuracy", "difference": 0.1},
        {**row, "method": "other", "measure": "f1", "difference": 0.1},
    ]
    show_variants({}, VariantTable(against_start=tuple(rows), against_first=(), overlap=()), "page.html")
    assert [line.split() for line in capsys.readouterr().out.splitlines()[2:4]] == [
        ["one", "0.500"],
        ["other", "0.500"],
    ]
