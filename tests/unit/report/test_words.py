"""Differing words are marked, and the pieces together are the text as it was."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmedpo.report.words import LONGEST, TextPiece, mark_differences


def text(pieces: list[TextPiece]) -> str:
    return "".join(piece.text for piece in pieces)


def differing(pieces: list[TextPiece]) -> list[str]:
    return [piece.text for piece in pieces if piece.differs]


@pytest.mark.parametrize(
    ("one", "other", "ours", "theirs"),
    [
        ("Yes", "No", ["Yes"], ["No"]),
        ("Yes", "yes", [], []),
        ("A small left effusion.", "A large right  effusion.", ["small left"], ["large right"]),
        ("There is no nodule.", "There is a nodule.", ["no"], ["a"]),
        ("The heart is normal.", "", ["The heart is normal."], []),
        ("12.5 mm", "12.8 mm", ["12.5"], ["12.8"]),
        ("肺炎 左", "肺炎 右", ["左"], ["右"]),
    ],
)
def test_words_that_only_one_text_has_are_marked(one: str, other: str, ours: list[str], theirs: list[str]) -> None:
    left, right = mark_differences(one, other)
    assert (differing(left), differing(right)) == (ours, theirs)


@given(st.text(max_size=80), st.text(max_size=80))
def test_pieces_together_are_the_text_as_it_was(one: str, other: str) -> None:
    left, right = mark_differences(one, other)
    assert (text(left), text(right)) == (one, other)


@given(st.text(max_size=80))
def test_a_text_does_not_differ_from_itself(one: str) -> None:
    assert not differing(mark_differences(one, one)[0])


def test_a_very_long_text_is_cut() -> None:
    left, _ = mark_differences("word " * 5000, "word")
    assert len(text(left).split()) == LONGEST + 1
    assert text(left).endswith("…")
