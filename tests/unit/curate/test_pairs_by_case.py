"""Pairs are found by their case, in the recipe's order of dispreferences, wherever they were made."""

from __future__ import annotations

from mmedpo import Case, Drop, ImageRef, Pair, Side
from mmedpo.curate.pairs_by_case import NOBODY, PairsByCase

FILM = ImageRef("a.png", "film")


def make_pair(case: int, maker: str, number: int = 0) -> Pair:
    asked = Case(str(case), FILM, "Is it?", "Yes")
    return Pair(asked, Side(FILM, "Yes"), Side(FILM, "No"), "text", made_by=maker, number=number)


def test_pairs_of_several_dispreferences_come_case_by_case() -> None:
    made = PairsByCase(3)
    assert (made.of(1), list(made.all())) == ((), [])
    first = [make_pair(2, "a"), Drop("0", "open"), make_pair(1, "a"), make_pair(2, "a", 1)]
    made.add(first, [2, NOBODY, 1, 2])
    assert made.of(2) == (first[0], first[3])
    second = [make_pair(0, "b"), make_pair(2, "b")]
    made.add(second, [0, 2])
    assert [made.of(case) for case in range(3)] == [(second[0],), (first[2],), (first[0], first[3], second[1])]
    assert list(made.all()) == [second[0], first[2], first[0], first[3], second[1]]
    assert made.of(NOBODY) == ()
