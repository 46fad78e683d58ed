"""Notes for the user: each line says whose it is, none commands the terminal, and all go by one door."""

from __future__ import annotations

import re

import pytest
from conftest import ROOT

from mmedpo.core.notes import print_note

DOORS = {"core/notes.py", "runtime/heartbeat.py", "runtime/signals.py"}  # progress, and the end of a command


def test_each_line_of_a_note_says_whose_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    print_note("one thing\nanother")
    assert capsys.readouterr().err == "mmedpo: one thing\nmmedpo: another\n"


def test_a_note_that_quotes_somebody_cannot_command_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    print_note("it says: \x1b[2J\rfine")
    assert capsys.readouterr().err == "mmedpo: it says: \\x1b[2J\\rfine\n"


def test_the_library_prints_notes_by_one_door() -> None:
    package = ROOT / "mmedpo"
    files = {str(path.relative_to(package)): path.read_text() for path in package.rglob("*.py")}
    others = {name for name, text in files.items() if re.search(r"print\(.*(stderr|\n.*file=sys\.stderr)", text)}
    assert {name for name in others if not name.startswith("cli/")} <= DOORS
