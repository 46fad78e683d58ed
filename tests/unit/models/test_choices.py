"""How likely a backbone finds yes against no: in whatever batch, on trees or in rows, as in a pass of its own."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
import torch
from mmedpo_plugins.phantom.backbone import PhantomBackbone
from mmedpo_plugins.phantom.reader import PhantomReader

from mmedpo import Case, LiveBackbone, Setting
from mmedpo.models import choice_logits, yes_leanings
from mmedpo.models.answering.choices import YES_NO, find_choice_tokens


@pytest.fixture(scope="module")
def live() -> Iterator[LiveBackbone]:
    with PhantomBackbone().open(Setting()) as opened:
        yield opened


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    return [case for case in PhantomReader(images=4).read() if case.kind == "closed"]


def lean_alone(live: LiveBackbone, case: Case) -> float:
    """Return the same from a plain pass over one prompt, by the probabilities of four words."""
    side = live.encode(case.images, case.question, "")
    ids = torch.tensor([side.ids[: side.answer_start]])
    with torch.no_grad():
        shares = live.model(input_ids=ids, **live.collate(side.vision)).logits[0, -1].double().softmax(0)
    yes, no = (
        sum(float(shares[live.tokenizer(word, add_special_tokens=False).input_ids[0]]) for word in words)
        for words in zip(*YES_NO, strict=True)
    )
    return math.log(yes / no)


@pytest.mark.parametrize("causal", [True, False], ids=["trees", "rows"])
def test_leanings_are_those_of_passes_of_their_own(
    causal: bool, live: LiveBackbone, cases: list[Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "causal", causal)
    mixed = [*cases[1::2], *cases[::2]]
    assert yes_leanings(live, mixed) == pytest.approx([lean_alone(live, case) for case in mixed], abs=1e-3)
    assert yes_leanings(live, []) == []


def test_a_spelling_that_tells_nothing_apart_is_left_out(live: LiveBackbone, cases: list[Case]) -> None:
    alone = find_choice_tokens(live, cases[0], [("Yes", "No")])
    assert find_choice_tokens(live, cases[0], [("1", "2"), ("Yes", "No"), ("No", "Yes")]) == alone
    once, twice = (choice_logits(live, cases[:1], [("Yes", "No")] * count) for count in (1, 2))
    assert once == twice
