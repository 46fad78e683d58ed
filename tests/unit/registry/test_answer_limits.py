"""How long answers may be, by the kind of case: how it is written, and that it is kept to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from mmedpo_plugins.dispreferences.self_hallucination import SelfHallucination
from pydantic import ValidationError

from mmedpo import AnswerLimits, Case, answer_by_kind
from mmedpo.testing import tiny_cases

KINDS = ("report", "closed", "open", "report")
CASES: list[Case] = [replace(case, kind=kind) for case, kind in zip(tiny_cases(4), KINDS, strict=True)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("written", "limits", "said"),
    [
        (None, (64, 64, 256), "{closed: 64, open: 64, report: 256}"),
        (48, (48, 48, 48), "48"),
        ({"report": 300}, (64, 64, 300), "{closed: 64, open: 64, report: 300}"),
    ],
)
def test_a_number_is_for_all_and_what_a_mapping_leaves_out_is_as_usual(
    written: Any, limits: tuple[int, ...], said: str
) -> None:
    part = SelfHallucination() if written is None else SelfHallucination(max_new_tokens=written)
    assert tuple(part.max_new_tokens.of(kind) for kind in ("closed", "open", "report")) == limits
    assert (part.longest_answer("report"), str(part.max_new_tokens)) == (limits[2], said)
    assert SelfHallucination.model_validate(part.model_dump(mode="json")) == part


@pytest.mark.parametrize("written", [0, True, "64", 2.5, {"reports": 9}, {"open": 0}])
def test_what_is_no_limit_is_refused(written: Any) -> None:
    with pytest.raises(ValidationError, match="max_new_tokens"):
        SelfHallucination(max_new_tokens=written)


def test_each_case_is_answered_within_its_kinds_limit_with_its_own_seed() -> None:
    calls: list[list[str]] = []

    def answer(cases: Sequence[Case], *, max_new_tokens: int, temperature: float, seeds: Sequence[int]) -> list[str]:
        calls.append([case.id for case in cases])
        both = zip(cases, seeds, strict=True)
        return [f"{case.id} {case.kind} {max_new_tokens} {temperature} {seed}" for case, seed in both]

    limits = AnswerLimits(closed=4, open=4, report=9)
    said = answer_by_kind(answer, CASES, limits, temperature=0.5, seeds=[10, 11, 12, 13])
    assert said == [
        "tiny-0 report 9 0.5 10",
        "tiny-1 closed 4 0.5 11",
        "tiny-2 open 4 0.5 12",
        "tiny-3 report 9 0.5 13",
    ]
    assert calls == [["tiny-0", "tiny-3"], ["tiny-1", "tiny-2"]]
    answer_by_kind(answer, CASES, AnswerLimits.model_validate(7), seeds=range(4))
    assert calls[2:] == [[case.id for case in CASES]]  # at once, so that an image is read once


def test_answers_that_are_too_few_are_no_answers() -> None:
    with pytest.raises(ValueError, match="zip"):
        answer_by_kind(lambda cases, **how: ["one"], CASES, AnswerLimits())
