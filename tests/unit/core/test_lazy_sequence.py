"""Sequences whose items are made when they are asked for behave as lists do."""

from __future__ import annotations

import pytest

from mmedpo.core.lazy_sequence import LazySequence, flatten_groups, pick_items


def test_items_are_found_by_place_from_either_end_and_in_slices() -> None:
    squares = LazySequence(5, lambda at: at * at)
    assert (squares[2], squares[-1], squares[1:3], squares[::-2], squares[7:]) == (4, 16, [1, 4], [16, 4, 0], [])
    assert (list(squares), len(squares), 9 in squares) == ([0, 1, 4, 9, 16], 5, True)
    with pytest.raises(IndexError):
        squares[5]


def test_picked_items_come_in_the_order_of_their_places() -> None:
    assert list(pick_items("abc", [2, 0, 2])) == ["c", "a", "c"]


def test_groups_are_one_sequence_and_each_is_made_once_when_it_is_gone_through() -> None:
    made = []

    def make(at: int) -> str:
        made.append(at)
        return ("ab", "", "cde")[at]

    whole = flatten_groups(LazySequence(3, make), [2, 0, 3])
    assert (list(whole), made) == (list("abcde"), [0, 2])
    assert (whole[4], whole[1], len(whole)) == ("e", "b", 5)
