"""Raters are compared with each other, themselves, the consensus and voters; ratings of other pairs are told."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from raters import Opinion, rate_all, rating_row, write_ratings
from run_folder import write_run

from mmedpo import DataError, WeightedPair
from mmedpo.cli.display.agreement import describe_ratings, show_clinicians
from mmedpo.cli.main import app
from mmedpo.evaluate.clinicians.calibration import CalibrationBins
from mmedpo.evaluate.clinicians.coefficients import krippendorff_alpha, nominal_kappa, spearman, weighted_kappa
from mmedpo.evaluate.clinicians.comparison import compare_with_clinicians
from mmedpo.store.run_files.reader import read_pairs

NAN = math.nan


def column(*values: float) -> np.ndarray[Any, Any]:
    return np.array(values, dtype=float)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixteen pairs, of which each two text and image pairs of one image are resampled together."""
    return write_run(tmp_path_factory.mktemp("runs") / "run", pairs=16)


@pytest.fixture(scope="module")
def items(run: Path) -> list[WeightedPair]:
    return list(read_pairs(run))


@pytest.fixture(scope="module")
def found(run: Path, items: list[WeightedPair]) -> dict[str, Any]:
    """Anna says what the run says; Ben calls two of its pairs wrong, and rates the first four twice."""

    def ours(at: int, item: WeightedPair) -> Opinion:
        return {"verdict": "chosen", "relevance": 10 * (item.score.relevance or 0), "readable": "partly"}

    def ben(at: int, item: WeightedPair) -> Opinion:
        wrong = {"verdict": "rejected", "comment": "no, the left"} if at in (2, 5) else {}
        return {**ours(at, item), **wrong}

    anna = rate_all(run.parent / "anna.csv", items, "Anna", ours)
    first = rate_all(run.parent / "ben.csv", items, "Ben", ben)
    again = [rating_row(item.pair, "Ben", {**ben(at, item), "presentation": 2}) for at, item in enumerate(items[:4])]
    return compare_with_clinicians(run, [anna, first, write_ratings(run.parent / "again.csv", again)])


def test_raters_who_say_what_the_run_says_agree_with_it_and_with_each_other(found: dict[str, Any]) -> None:
    assert (found["pairs"], found["rows"]) == (16, 36)
    assert found["raters"] == {"Anna": {"pairs": 16, "twice": 0}, "Ben": {"pairs": 16, "twice": 4}}
    assert found["not_yet"] == ["the own consistency of Anna: 0 pairs so far, 3 are needed"]
    (both,) = found["between"]
    everybody, anna, ben = found["consensus"]
    for one in (both, everybody, anna, ben):
        assert one["spearman"]["value"] == pytest.approx(1)
        assert one["gap"]["value"] == pytest.approx(0, abs=1e-9)
    assert found["alpha"]["relevance"]["value"] == pytest.approx(1)
    assert found["calibration"]["error"]["value"] == pytest.approx(0, abs=1e-9)
    assert sum(one["pairs"] for one in found["calibration"]["bins"]) == 16


def test_verdicts_are_of_the_side_and_not_of_where_it_stood(found: dict[str, Any]) -> None:
    (both,) = found["between"]
    assert both["verdict_same"]["value"] == pytest.approx(14 / 16)
    assert both["verdict_same"]["low"] < 14 / 16 < both["verdict_same"]["high"]
    assert found["verdicts"] == {"chosen": 30, "rejected": 2}
    assert found["chosen_right"]["value"] == pytest.approx(15 / 16)
    assert next(one for one in found["consistency"] if one["rater"] == "Ben")["verdict_same"]["value"] == 1


def test_voters_are_compared_with_the_mean_of_the_raters(found: dict[str, Any]) -> None:
    assert [(one["voter"], one["pairs"]) for one in found["voters"]] == [("a", 8), ("b", 8)]
    assert "spearman" not in found["voters"][0]  # all its votes are alike
    assert found["voters"][1]["spearman"]["value"] == pytest.approx(0.577, abs=0.001)


def test_pairs_that_a_rater_calls_wrong_are_listed_with_who_says_so(found: dict[str, Any]) -> None:
    assert [one["verdicts"] for one in found["wrong"]] == [{"Anna": "chosen", "Ben": "rejected"}] * 2
    assert found["wrong"][0]["comments"] == {"Ben": "no, the left"}


def test_what_too_few_ratings_are_there_for_is_said_and_no_error(
    run: Path, items: list[WeightedPair], tmp_path: Path
) -> None:
    rows = [rating_row(items[0].pair, "Anna", {"verdict": "chosen", "relevance": 3})]
    rows += [rating_row(item.pair, "Anna", {}) for item in items[1:4]]
    found = compare_with_clinicians(run, [write_ratings(tmp_path / "a.csv", rows)])
    assert (found["pairs"], found["rows_not_rated"], found["calibration"]["error"]) == (1, 3, None)
    assert found["not_yet"] == [
        "agreement between raters: one rater so far",
        "the own consistency of Anna: 0 pairs so far, 3 are needed",
        "agreement of the consensus with clinicians: 1 pairs so far, 3 are needed",
        "agreement of clinicians with a: 1 pairs so far, 3 are needed",
        "agreement of clinicians with b: 1 pairs so far, 3 are needed",
    ]
    empty = compare_with_clinicians(run, [write_ratings(tmp_path / "b.csv", [])])
    assert empty["not_yet"] == ["no row rates a pair of this run"]


def test_ratings_of_what_is_no_pair_of_the_run_are_refused_by_line_and_counted(
    run: Path, items: list[WeightedPair], tmp_path: Path
) -> None:
    other = replace(items[1].pair, rejected=replace(items[1].pair.rejected, answer="another"))
    absent = replace(items[0].pair, number=7)
    rows = [rating_row(pair, "Anna", {"verdict": "chosen", "relevance": 3}) for pair in (items[0].pair, other, absent)]
    found = compare_with_clinicians(run, [write_ratings(tmp_path / "a.csv", rows)])
    assert (found["pairs"], found["rows_refused"]) == (1, 2)
    assert [one["place"].rpartition("/")[2] for one in found["refused"]] == ["a.csv:3", "a.csv:4"]
    assert "its pair is not the one that was rated" in found["refused"][0]["why"]
    assert found["refused"][1]["why"] == "its pair is not in the run"
    assert "  rows refused: 2" in list(describe_ratings(found))


def test_the_command_takes_several_tables_and_gives_json(
    run: Path, items: list[WeightedPair], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = {"verdict": "both", "relevance": 5}
    files = [
        write_ratings(tmp_path / f"{name}.csv", [rating_row(items[0].pair, name, said)]) for name in ("Anna", "Ben")
    ]
    line = ["score", str(run), "--against", *map(str, files), "--json"]
    typer.main.get_command(app).main(line, standalone_mode=False)
    assert list(json.loads(capsys.readouterr().out)["against"]["raters"]) == ["Anna", "Ben"]


def test_what_is_printed_has_every_comparison_and_interval(
    found: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    show_clinicians(found)
    said = capsys.readouterr().out
    for line in ("raters with themselves", "\nclinicians  ", "\nb    ", "calibration", "no, the left"):
        assert line in said
    assert re.search(r"\nAnna and Ben +16 +1\.000 \(1\.000 to 1\.000\) ", said)


def test_kappa_is_the_textbooks() -> None:
    """Two raters, ten items; by hand: observed disagreement 4 / 10, by chance the mean over all pairs of items."""
    ours, theirs = column(0, 0, 1, 2, 2, 3, 4, 4, 5, 5, NAN), column(0, 1, 1, 2, 3, 3, 4, 5, 5, 4, 3)
    by_chance = np.mean([(a - b) ** 2 for a in ours[:10] for b in theirs[:10]])
    assert weighted_kappa(ours, theirs) == pytest.approx(1 - 0.4 / by_chance)
    # Cohen 1960: 25 + 15 of 50 agree, .5 and .6 say the first: (.7 - .5) / (1 - .5)
    one = column(*[0] * 20, *[0] * 5, *[1] * 10, *[1] * 15)
    other = column(*[0] * 20, *[1] * 5, *[0] * 10, *[1] * 15)
    assert nominal_kappa(one, other) == pytest.approx(0.4)


def test_rank_correlation_and_alpha_are_those_of_their_libraries() -> None:
    from scipy.stats import spearmanr

    one, other = column(1, 5, 5, 2, 9, NAN, 3), column(2, 4, 7, 2, 8, 1, NAN)
    assert spearman(one, other) == pytest.approx(spearmanr(one[:5], other[:5]).statistic)
    assert krippendorff_alpha([one, one], "interval") == pytest.approx(1)
    assert krippendorff_alpha([column(0, 1, 0, 1), column(1, 0, 1, 0)], "nominal") == pytest.approx(-0.75)


@pytest.mark.parametrize("measure", [spearman, weighted_kappa, nominal_kappa])
def test_of_what_is_all_alike_or_too_few_there_is_no_coefficient(measure: Any) -> None:
    assert measure(column(5, 5, 5, 5), column(5, 5, 5, 5)) is None
    assert measure(column(1, 2, NAN), column(1, 2, 3)) is None


def test_a_calibration_curve_has_equally_many_pairs_a_bin_and_says_how_far_they_are_off() -> None:
    ours = column(*range(10))
    bins = CalibrationBins(ours, ours + 1)
    assert [row["pairs"] for row in bins.describe()] == [4, 3, 3]
    assert bins.error(ours, ours + 1) == pytest.approx(1)
    assert bins.mean_theirs(0, ours, ours + 1) == pytest.approx(2.5)
    alike = CalibrationBins(column(5, 5, 5, 5), column(1, 2, 3, 4))
    assert [row["pairs"] for row in alike.describe()] == [4]


def test_a_broken_table_is_named(run: Path, tmp_path: Path) -> None:
    for name, said in (("none.csv", "there is no such file"), ("old.csv", "has no column 'rater'")):
        (tmp_path / "old.csv").write_text("pair,rating\nc0,5\n")
        with pytest.raises(DataError, match=said):
            compare_with_clinicians(run, [tmp_path / name])


def test_raters_whose_votes_the_run_s_own_relevances_are_is_no_second_opinion(
    run: Path, items: list[WeightedPair], tmp_path: Path
) -> None:
    rows = [rating_row(items[0].pair, name, {"relevance": 3}) for name in ("a", "Ben")]
    found = compare_with_clinicians(run, [write_ratings(tmp_path / "a.csv", rows)])
    assert (found["own_votes"], [one["voter"] for one in found["voters"]]) == (["a"], ["b"])
    assert "relevances of this run are votes of a too: they are no second opinion" in list(describe_ratings(found))
