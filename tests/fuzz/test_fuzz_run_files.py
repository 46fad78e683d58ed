"""Whatever became of a run's files, whoever reads them back gets them or one error that names the file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fuzzing import damaged, fuzz
from hypothesis import given
from hypothesis import strategies as st
from run_folder import write_run

from mmedpo.errors import MmedpoError
from mmedpo.report.page import write_report
from mmedpo.store.run_files.reader import read_run

FILES = ("run.json", "pairs.jsonl", "training.json", "measures.json", "answers.jsonl", "attention.jsonl")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("fuzz") / "run", 4)


def read_all(folder: Path) -> None:
    files = read_run(folder)
    _ = files.training, files.measures
    for rows in (files.pairs(), files.answers(), files.attention(), files.cases()):
        list(rows)


def refusal(work: Callable[[], Any]) -> str:
    """Return why a work is refused, "" where it is done; nothing else may be raised."""
    try:
        work()
    except MmedpoError as error:
        return str(error)
    return ""


@contextmanager
def rewritten(path: Path, content: bytes) -> Iterator[None]:
    """Let a file be another meanwhile."""
    whole = path.read_bytes()
    path.write_bytes(content)
    try:
        yield
    finally:
        path.write_bytes(whole)


def require_lines(told: str) -> None:
    """Require that an error is lines that a person can read."""
    assert all(len(line) < 1500 and line.isprintable() for line in told.split("\n"))


@fuzz(60)
@given(name=st.sampled_from(FILES), data=st.data())
def test_damaged_files_of_a_run_are_read_or_refused_in_lines(name: str, data: st.DataObject, run: Path) -> None:
    with rewritten(run / name, data.draw(damaged((run / name).read_bytes()))):
        require_lines(refusal(lambda: read_all(run)))


@fuzz(5)
@given(name=st.sampled_from(FILES[1:]), data=st.data())
def test_the_report_on_damaged_files_is_written_or_refused_in_lines(name: str, data: st.DataObject, run: Path) -> None:
    with rewritten(run / name, data.draw(damaged((run / name).read_bytes()))):
        require_lines(refusal(lambda: write_report([run], run.parent / "report.html")))
