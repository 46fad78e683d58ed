"""Ratings are read as a page, or a spreadsheet after it, saved them; one of another pair is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mmedpo import DataError
from mmedpo.data import name_opaquely, read_ratings, translate_verdict
from mmedpo.data.ratings import hash_shown
from mmedpo.testing import tiny_pairs

HEAD = "rater,pair,digest,verdict,relevance,presentation,readable,comment,time"
(PAIR,) = tiny_pairs("text", 1)


def table(path: Path, *rows: str, head: str = HEAD) -> Path:
    path.write_text("\n".join([head, *rows]) + "\n", encoding="utf-8-sig")
    return path


def test_a_verdict_is_of_the_side_that_was_shown_there(tmp_path: Path) -> None:
    for sides, verdict in (((PAIR.chosen, PAIR.rejected), "chosen"), ((PAIR.rejected, PAIR.chosen), "rejected")):
        file = table(tmp_path / "a.csv", f"Anna,{name_opaquely(PAIR)},{hash_shown(PAIR, *sides)},A,7,,,,")
        (rating,) = read_ratings([file]).ratings
        assert translate_verdict(rating, PAIR) == verdict
        changed = replace(PAIR, chosen=replace(PAIR.chosen, answer="Yes, there is."))
        assert translate_verdict(rating, changed) is None
        assert translate_verdict(replace(rating, verdict=""), PAIR) == ""


def test_of_two_ratings_of_one_presentation_the_later_counts(tmp_path: Path) -> None:
    one = table(tmp_path / "a.csv", "Anna,p1,s1,A,7,1,,,2026-01-02", "Anna,p1,s1,B,3,2,,,2026-01-01")
    other = table(tmp_path / "b.csv", "Anna,p1,s1,,,1,,,", "Ben,p1,s1,B,5,1,,,")
    read = read_ratings([one, other])
    assert [(rating.rater, rating.relevance) for rating in read.ratings] == [("Anna", 7), ("Anna", 3), ("Ben", 5)]
    assert read.replaced == 1


def test_what_a_spreadsheet_makes_of_the_table_is_read_as_well(tmp_path: Path) -> None:
    file = table(tmp_path / "a.csv", "Änne;p1;s1;both;7;1;yes;'=1+1;", head=HEAD.replace(",", ";"))
    (rating,) = read_ratings([file]).ratings
    assert (rating.rater, rating.comment, rating.place) == ("Änne", "=1+1", f"{file}:2")


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (",p1,s1,A,7,,,,", "'rater' must be a text, not"),
        ("Anna,p1,,A,7,,,,", "'digest' must be a text, not"),
        ("Anna,p1,s1,a,7,,,,", "verdict 'a' is none of A, B, both, neither, unclear"),
        ("Anna,p1,s1,A,high,,,,", "relevance 'high' is no number"),
        ("Anna,p1,s1,A,11,,,,", "relevance 11 is not from 0 to 10"),
        ("Anna,p1,s1,A,nan,,,,", "relevance nan is not from 0 to 10"),
        ("Anna,p1,s1,A,7,0,,,", "presentation '0' is no number from 1 on"),
        ("Anna,p1,s1,A,7,1,well,,", "readable 'well' is none of yes, partly, no"),
        ("Anna,p1,s1", "has 3 cells, but the header names 9"),
    ],
)
def test_what_is_wrong_with_a_row_is_said_with_its_line(tmp_path: Path, row: str, said: str) -> None:
    with pytest.raises(DataError, match=rf"a\.csv:3: {said}"):
        read_ratings([table(tmp_path / "a.csv", "Anna,p0,s0,,,,,,", row)])


def test_a_table_without_a_column_that_is_needed_says_which_and_whence_one_comes(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"a\.csv:1: has no column 'digest'; a review page .* saves rater, pair, digest"
    ):
        read_ratings([table(tmp_path / "a.csv", head="rater,pair,verdict,relevance")])
