"""Log-probabilities of answers, against the model's own logits."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
import torch
from mmedpo_plugins.own_answers.likelihood import choice_shares, mean_logp
from mmedpo_plugins.phantom.backbone import PhantomBackbone
from mmedpo_plugins.phantom.exam import leanings
from mmedpo_plugins.phantom.reader import PhantomReader

from mmedpo import Case, DataError, LiveBackbone, Setting


@pytest.fixture(scope="module")
def live() -> Iterator[LiveBackbone]:
    with PhantomBackbone().open(Setting()) as opened:
        yield opened


@pytest.fixture(scope="module")
def cases() -> dict[str, Case]:
    return {case.kind: case for case in PhantomReader(images=1).read() if isinstance(case, Case)}


def test_it_is_the_mean_over_the_answer_and_its_end(live: LiveBackbone, cases: dict[str, Case]) -> None:
    case = cases["report"]
    side = live.encode(case.images, case.question, case.answer)
    with torch.no_grad():
        logits = live.model(input_ids=torch.tensor([side.ids]), **live.collate(side.vision)).logits[0]
    logps = [float(logits[at - 1].log_softmax(0)[side.ids[at]]) for at in range(side.answer_start, len(side.ids))]
    assert len(logps) > 5
    assert mean_logp(live, case, case.answer) == pytest.approx(sum(logps) / len(logps), abs=1e-4)
    without_end = sum(logps[:-1]) / (len(logps) - 1)
    assert mean_logp(live, case, case.answer, ended=False) == pytest.approx(without_end, abs=1e-4)


def test_of_one_word_against_another_it_is_the_exams_leaning(live: LiveBackbone, cases: dict[str, Case]) -> None:
    case = cases["closed"]
    yes, no = (mean_logp(live, case, word, ended=False) for word in ("Yes", "No"))
    assert yes - no == pytest.approx(leanings(live, [case])[0], abs=1e-4)
    shares = choice_shares(live, case, case.question, ["Yes", "No"])
    assert sum(shares) == pytest.approx(1)
    assert math.log(shares[0] / shares[1]) == pytest.approx(yes - no, abs=1e-4)


def test_choices_may_begin_alike(live: LiveBackbone, cases: dict[str, Case]) -> None:
    case, choices = cases["open"], ["Left upper lobe", "Left lower lobe"]
    shares = choice_shares(live, case, "Where is the nodule?", choices)
    assert sum(shares) == pytest.approx(1)


def test_what_the_words_of_a_backbone_do_not_tell_apart_is_an_error(live: LiveBackbone, cases: dict[str, Case]) -> None:
    with pytest.raises(DataError, match="no token of its own for each of 0, 1, 2"):
        choice_shares(live, cases["open"], "How many?", ["0", "1", "2"])
