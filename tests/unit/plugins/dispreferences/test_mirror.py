"""The mirror: only what names a side is wrong in it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from mmedpo_plugins.dispreferences.mirror import ImageMirror, mirrored_answer
from PIL import Image

from mmedpo import Case, CaseKind, Drop, ImageRef, Pair, Region

FILM = ImageRef.drawn(Image.fromarray(np.arange(48, dtype=np.uint8).reshape(6, 8)))
EFFUSION = Region("effusion", (0, 2, 3, 6), confidence=0.7)


def case(kind: CaseKind, question: str, answer: str, **more: Any) -> Case:
    return Case("c", FILM, question, answer, kind=kind, **more)


def one(part: ImageMirror, a_case: Case) -> Pair | Drop:
    (found,) = part.disprefer([a_case], None, [[]])
    return found


@pytest.mark.parametrize(
    ("kind", "question", "answer", "other"),
    [
        ("closed", "Is there a left effusion?", "Yes", "No"),
        ("closed", "Is there a left effusion?", "No", ""),  # the other side may be as clear
        ("closed", "Is there an effusion?", "Yes", ""),
        ("closed", "Is the left lung larger than the right one?", "Yes", ""),  # names both
        ("closed", "Is the effusion on the left or the right?", "left", "right"),
        ("open", "Where is the nodule?", "Left upper lobe", "Right upper lobe"),
        ("open", "What is in the left lung?", "A nodule", ""),  # what the other lung holds nobody said
        ("report", "Describe.", "Left effusion, nodule in the RIGHT lobe.", "Right effusion, nodule in the LEFT lobe."),
        ("report", "Describe.", "Bright and leftover words.", ""),
    ],
)
def test_an_answer_is_right_in_the_mirror_with_its_sides_exchanged(
    kind: CaseKind, question: str, answer: str, other: str
) -> None:
    assert mirrored_answer(case(kind, question, answer)) == other


def test_the_film_is_preferred_to_its_mirror_image_with_the_same_answer() -> None:
    pair = one(
        ImageMirror(), case("closed", "Is there a left effusion?", "Yes", about=("effusion",), regions=(EFFUSION,))
    )
    assert isinstance(pair, Pair)
    assert (pair.chosen.image, pair.chosen.answer, pair.rejected.answer) == (FILM, "Yes", "Yes")
    assert np.array_equal(np.asarray(pair.rejected.image.load()), np.asarray(FILM.load())[:, ::-1])
    assert pair.notes["regions"][0]["confidence"] == 0.7
    assert pair.notes["moved"]


def test_flipped_the_exchanged_answer_is_preferred_on_the_mirror_image() -> None:
    pair = one(ImageMirror(pairs="flipped"), case("open", "Which side?", "Left"))
    assert isinstance(pair, Pair)
    assert pair.chosen.image == pair.rejected.image != FILM
    assert (pair.chosen.answer, pair.rejected.answer) == ("Right", "Left")


def test_what_names_no_side_gives_no_pair_and_says_why() -> None:
    found = one(ImageMirror(), case("closed", "Is there an effusion?", "Yes"))
    assert isinstance(found, Drop)
    assert "names no side" in found.reason
    assert isinstance(one(ImageMirror(kinds=("report",)), case("open", "Which side?", "Left")), Drop)
