"""The page of a run in rounds: all of them side by side, then the last that has begun."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from run_folder import write_rounds, write_run

from mmedpo.errors import DataError
from mmedpo.evaluate.methods.names import name_rounds
from mmedpo.recipe.run_recipe import is_restricted
from mmedpo.report.page import write_report
from mmedpo.store.result_keys import adapter_of
from mmedpo.store.run_files.reader import read_run


def words(page: Path) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", page.read_text().split("<main>")[1]).split())


def test_rounds_stand_side_by_side_each_with_its_difference_from_the_start(tmp_path: Path) -> None:
    page = write_report([write_rounds(tmp_path / "mine", 2, 2)])
    text = words(page)
    assert page == tmp_path / "mine" / "report.html"
    assert "sure med-vqa 0.500 0.700 +0.200 (+0.100 to +0.300) 0.700 +0.200 (+0.100 to +0.300)" in text
    assert "round 1 4 4 7 50% of 4 finished round 2" in text
    assert "Round 2: its pairs were made with the model that round 1 trained" in text
    assert "the reference is the start" in text
    assert 'href="round-1/report.html"' in page.read_text()
    assert "<h1>mine</h1>" in page.read_text()
    assert "mine, round 1" in write_report([tmp_path / "mine/round-1"]).read_text()


def test_a_run_that_stopped_on_the_way_has_a_page_of_the_rounds_there_are(tmp_path: Path) -> None:
    folder = write_rounds(tmp_path / "mine", 3, 2, run={"state": "stopped"}, training=False, measures=False)
    text = words(write_report([folder]))
    assert "2 of 3 rounds have begun" in text
    assert "round 1 4 4 7 50% of 4 finished round 2 4 4 stopped" in text


def test_a_page_of_rounds_is_written_anew_when_one_of_them_changed(tmp_path: Path) -> None:
    folder = write_rounds(tmp_path / "mine", 2, 1)
    page = write_report([folder])
    before = page.stat().st_mtime_ns
    assert write_report([folder]).stat().st_mtime_ns == before
    write_rounds(folder, 2, 2)
    assert "round-2/report.html" in write_report([folder]).read_text()


def test_a_runs_folder_stands_for_its_last_round_and_for_none_before(tmp_path: Path) -> None:
    folder = write_rounds(tmp_path / "mine", 2, 1)
    for read in (read_run, adapter_of):
        with pytest.raises(DataError, match=r"2 rounds and the last has not begun; finish it .*, or name .*round-1"):
            read(folder)
    assert read_run(write_rounds(folder, 2, 2)).folder == folder / "round-2"
    assert read_run(write_run(tmp_path / "plain")).folder == tmp_path / "plain"


def test_rounds_are_compared_where_one_run_or_one_of_each_seed_is_named(tmp_path: Path) -> None:
    a, b = (write_rounds(tmp_path / name, 3, begun) for name, begun in (("a", 3), ("b", 2)))
    found = name_rounds({"a": [a]})
    assert found == {f"round-{number}": (a / f"round-{number}",) for number in (1, 2, 3)}
    found = name_rounds({"both": [a, b]})
    assert found == {name: (a / name, b / name) for name in ("round-1", "round-2")}
    assert name_rounds({"a": [a], "b": [b]}) == {}
    assert name_rounds({"plain": [write_run(tmp_path / "plain")]}) == {}


def test_a_run_is_restricted_where_one_of_its_rounds_is(tmp_path: Path) -> None:
    folder = write_rounds(tmp_path / "mine", 2, 2, restricted=True, run={"restricted": True})
    assert is_restricted(folder)
    assert "This file contains patients" in write_report([folder]).read_text()
