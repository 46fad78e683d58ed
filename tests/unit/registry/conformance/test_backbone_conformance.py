"""A backbone answers each case, encodes an answer, and says of each token of an image at most once what it sees."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest

from mmedpo import Answer, Backbone, Case, Encoding, LiveBackbone, PluginError, Setting, TokenGrid, TokenPlaces
from mmedpo.registry.conformance.backbone import check_answers
from mmedpo.registry.discovery import resolve_part
from mmedpo.registry.kinds import KINDS
from mmedpo.testing import check_part, tiny_cases


def places(*tokens: int, right: float = 8.0) -> TokenPlaces:
    return TokenPlaces(2, [TokenGrid(np.array([tokens]), (0.0, 0.0, right, 8.0))])


PLACES = {"fine": places(0, 1), "twice": places(1, 1), "too many": places(1, 2), "no width": places(0, 1, right=0.0)}


class Speaks(Backbone):
    """Open to a backbone that answers as it is told."""

    use = "speaks"
    how: str = "fine"
    """What is tried."""

    def open(self, setting: Setting) -> Any:
        part = self

        class Live(LiveBackbone):
            lora_targets = projector = ""

            def answer(self, cases: Sequence[Case], **options: Any) -> Any:
                answers = {"short": ["No"], "numbers": [0] * len(cases), "nothing": None}
                return answers.get(part.how, ["No"] * len(cases))

            def encode(self, images: Any, question: str, answer: str) -> Any:
                return {
                    "no answer": Encoding([1, 2, 3], 3, [{}]),
                    "half a token": Encoding([1, 2.5, 3], 1, [{}]),  # type: ignore[list-item]
                    "vision": Encoding([1, 2, 3], 1, None),  # type: ignore[arg-type]
                }.get(part.how, Encoding([1, 2, 3], 1, [{}]))

            def token_places(self, size: tuple[int, int]) -> TokenPlaces | None:
                return PLACES.get(part.how)

        return nullcontext(object() if self.how == "an object" else Live())


@pytest.mark.parametrize(
    "how", ["short", "numbers", "nothing", "no answer", "half a token", "vision", "an object", *list(PLACES)[1:]]
)
def test_a_backbone_answers_each_case_and_encodes_an_answer(how: str) -> None:
    check_part(Speaks())
    with pytest.raises(PluginError, match="backbone 'speaks'"):
        check_part(Speaks(how=how))


def test_half_a_character_in_a_models_answer_is_replaced_and_its_cut_is_kept() -> None:
    said = [Answer("a nodule \ud83d", cut=True), "No"]
    answers = check_answers(resolve_part(KINDS["backbone"], "phantom"), tiny_cases(2), said)
    assert answers == ["a nodule \ufffd", "No"]
    assert [answer.cut for answer in answers] == [True, False]
