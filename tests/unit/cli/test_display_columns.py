"""Rows in columns."""

from __future__ import annotations

import pytest
from rich.console import Console

from mmedpo.cli.display.columns import print_columns


def test_no_cell_is_cut_however_narrow_the_screen(capsys: pytest.CaptureFixture[str]) -> None:
    print_columns(Console(width=8), [["name", "value"], ["a-long-name", "1.000"]])
    assert capsys.readouterr().out == "name         value\na-long-name  1.000\n"


def test_a_head_without_rows_is_not_printed(capsys: pytest.CaptureFixture[str]) -> None:
    print_columns(Console(), [["name", "value"]])
    assert capsys.readouterr().out == ""
