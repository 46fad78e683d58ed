"""The consensus is compared with clinicians' ratings, and what is wrong with their table is said with its line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from run_folder import run_record

from mmedpo import Case, DataError, ImageRef, Pair, Score, Side, WeightedPair
from mmedpo.core.records import to_json
from mmedpo.evaluate.clinicians import RatedPair, compare_with_clinicians, kappa, spearman, write_sheet
from mmedpo.store.run_files.format import write_file
from mmedpo.store.run_folder import json_line


def make_run(folder: Path, relevances: list[float]) -> Path:
    lines = []
    for number, relevance in enumerate(relevances):
        case = Case(f"c{number}", ImageRef(sha256=f"{number // 2}"), "?", "yes", group=f"g{number // 2}")
        pair = Pair(case, Side(case.image, "yes"), Side(case.image, "no"), "text", made_by="m")
        lines.append(json_line(to_json(WeightedPair(pair, Score(relevance), 1.0))))
    folder.mkdir()
    (folder / "pairs.jsonl").write_text("\n".join(lines) + "\n")
    write_file(folder, run_record({}))
    return folder


def make_table(path: Path, rows: list[tuple[str, object]]) -> Path:
    path.write_text("pair,rating\n" + "".join(f"{name},{rating}\n" for name, rating in rows))
    return path


RELEVANCES = [number / 10 for number in range(10)]


def test_a_consensus_that_says_what_clinicians_say_is_one(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", RELEVANCES)
    table = make_table(tmp_path / "human.csv", [(f"c{n}/m/0", n) for n in range(10)])
    found = compare_with_clinicians(run, table)
    assert (found["pairs"], found["groups"]) == (10, 5)
    assert [found[name]["value"] for name in ("spearman", "weighted_kappa")] == pytest.approx([1, 1])


def test_several_ratings_of_a_pair_are_averaged(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", RELEVANCES)
    rows = [(f"c{n}/m/0", n + d) for n in range(1, 9) for d in (-1, 1)]
    assert compare_with_clinicians(run, make_table(tmp_path / "human.csv", rows))["weighted_kappa"][
        "value"
    ] == pytest.approx(1)


def test_the_interval_holds_the_value_and_is_wide_for_few(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    run = make_run(tmp_path / "run", [float(value) for value in draw.integers(0, 11, 40) / 10])
    rows = [(f"c{n}/m/0", int(draw.integers(0, 11))) for n in range(40)]
    found = compare_with_clinicians(run, make_table(tmp_path / "human.csv", rows))["spearman"]
    assert found["low"] < found["value"] < found["high"]
    assert found["high"] - found["low"] > 0.3


def test_kappa_is_the_textbooks() -> None:
    """Two raters, ten items; by hand: observed disagreement 4 / 10, by chance 36.8 / 10."""
    ours, theirs = [0, 0, 1, 2, 2, 3, 4, 4, 5, 5], [0, 1, 1, 2, 3, 3, 4, 5, 5, 4]
    rated = [RatedPair("g", a, b) for a, b in zip(ours, theirs, strict=True)]
    by_chance = np.mean([(a - b) ** 2 for a in ours for b in theirs])
    assert kappa(rated) == pytest.approx(1 - 0.4 / by_chance)


def test_what_is_all_alike_has_no_correlation() -> None:
    assert spearman([RatedPair("g", 5, n) for n in range(4)]) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("pair,score\na,1\n", r"human.csv:1: has no column 'rating'"),
        ("pair,rating\nc0/m/0,high\n", r"human.csv:2: rating 'high' is no number"),
        ("pair,rating\nc0/m/0,5\nc1/m/0,11\n", r"human.csv:3: rating 11 is not from 0 to 10"),
        ("pair,rating\nnobody,5\n", r"human.csv:2: the pair 'nobody' is not in the run"),
        ("pair,rating\nnobody,5\nc0/m/0,x\n", r"(?s)human.csv:2: the pair .*human.csv:3: rating 'x' is no number"),
        ("pair,rating\nc0/m/0,nan\n", r"human.csv:2: rating nan is not from 0 to 10"),
        ("pair,rating\nc0/m/0\n", r"human.csv:2: has 1 cells, but the header names 2"),
        ("pair;rating\nc0/m/0;5\n", r"human.csv:1: its cells stand between semicolons"),
        ("pair,rating,hash\nc0/m/0,5,0123\n", r"human.csv:2: the pair 'c0/m/0' is not the one that was rated"),
        ("pair,rating\nc0/m/0,5\n", r"at least 3 are needed"),
    ],
)
def test_what_is_wrong_with_the_table_is_said_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "human.csv").write_text(text)
    with pytest.raises(DataError, match=said):
        compare_with_clinicians(make_run(tmp_path / "run", RELEVANCES), tmp_path / "human.csv")


def test_a_table_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"human\.csv"):
        compare_with_clinicians(make_run(tmp_path / "run", RELEVANCES), tmp_path / "human.csv")


def filled_in(sheet: Path, ratings: list[object]) -> None:
    head, *rows = sheet.read_text().rstrip("\n").split("\n")
    rated = [row.removesuffix('""') + str(rating) for row, rating in zip(rows, ratings, strict=True)]
    sheet.write_text("\n".join([head, *rated]) + "\n")


def test_a_sheet_that_clinicians_fill_in_is_read_back(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", RELEVANCES)
    assert write_sheet(run, tmp_path / "human.csv") == 10
    assert (tmp_path / "human.csv").stat().st_mode & 0o077 == 0  # the pairs are restricted
    filled_in(tmp_path / "human.csv", [*range(8), "", ""])
    found = compare_with_clinicians(run, tmp_path / "human.csv")
    assert (found["pairs"], found["rows_not_rated"], found["ratings_without_hash"]) == (8, 2, 0)
    assert found["spearman"]["value"] == pytest.approx(1)
    with pytest.raises(DataError, match="is there already"):
        write_sheet(run, tmp_path / "human.csv")


def test_ratings_of_pairs_that_have_changed_are_refused_with_their_lines(tmp_path: Path) -> None:
    write_sheet(make_run(tmp_path / "run", RELEVANCES), tmp_path / "human.csv")
    filled_in(tmp_path / "human.csv", list(range(10)))
    pairs = tmp_path / "run/pairs.jsonl"
    first, *rest = pairs.read_text().split("\n")
    pairs.write_text("\n".join([first.replace('"answer": "no"', '"answer": "none"'), *rest]))
    with pytest.raises(DataError, match=r"human\.csv:2: the pair 'c0/m/0' is not the one that was rated") as told:
        compare_with_clinicians(tmp_path / "run", tmp_path / "human.csv")
    assert len(str(told.value).split("\n")) == 1


def test_ratings_without_a_hash_are_counted(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", RELEVANCES)
    table = make_table(tmp_path / "human.csv", [(f"c{n}/m/0", n) for n in range(10)])
    assert compare_with_clinicians(run, table)["ratings_without_hash"] == 10
