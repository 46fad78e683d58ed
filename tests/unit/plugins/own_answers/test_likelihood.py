"""Log-probabilities of answers, against the model's own logits."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from mmedpo_plugins.backbones.hf_vlm.hf_vlm import HfVlmBackbone
from mmedpo_plugins.backbones.llava_med.llava_med import LlavaMedBackbone
from mmedpo_plugins.own_answers.likelihood import answer_logps, choice_shares, mean_logp
from mmedpo_plugins.phantom.backbone import PhantomBackbone
from mmedpo_plugins.phantom.reader import PhantomReader
from tiny_hf_vlm import write_gemma3, write_idefics3

from mmedpo import Backbone, Case, DataError, LiveBackbone, Setting
from mmedpo.models import yes_leanings
from mmedpo.testing import tiny_cases


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


def test_on_several_films_it_is_what_it_is_on_each(live: LiveBackbone, cases: dict[str, Case]) -> None:
    case, other = cases["report"], tiny_cases(1)[0]
    films = [case.images, other.images, case.images]
    logps = answer_logps(live, films, case.question, case.answer)
    assert logps[0] == pytest.approx(logps[2], abs=1e-4)
    side = live.encode(case.images, case.question, case.answer)
    for found, images in zip(logps, films, strict=True):
        mean = mean_logp(live, replace(case, image=images[0]), case.answer)
        assert found == pytest.approx(mean * (len(side.ids) - side.answer_start), abs=1e-3)


def test_of_one_word_against_another_it_is_the_leaning(live: LiveBackbone, cases: dict[str, Case]) -> None:
    case = cases["closed"]
    yes, no = (mean_logp(live, case, word, ended=False) for word in ("Yes", "No"))
    assert yes - no == pytest.approx(yes_leanings(live, [case])[0], abs=1e-4)
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


def log_probability(live: LiveBackbone, case: Case, choice: str) -> float:
    """Return the log-probability of an answer without its end, from one plain pass over the whole side."""
    side = live.encode(case.images, case.question, choice)
    types = {} if side.token_types is None else {live.types_key: torch.tensor([list(side.token_types)])}
    with torch.no_grad():
        logits = live.model(input_ids=torch.tensor([list(side.ids)]), **types, **live.collate(side.vision)).logits[0]
    answer = range(side.answer_start, len(side.ids) - 1)
    return sum(float(logits[at - 1].log_softmax(0)[side.ids[at]]) for at in answer)


@pytest.mark.parametrize("write", [write_idefics3, write_gemma3], ids=["idefics3", "gemma3"])
def test_choices_are_as_probable_as_in_a_pass_of_their_own(write: Callable[[Path], Path], tmp_path: Path) -> None:
    require_shares_of_passes(HfVlmBackbone(checkpoint=str(write(tmp_path / "model"))), list("012345"))


def test_a_blank_that_is_a_token_before_each_number_is_read_over(shared: Path) -> None:
    checkpoint = str(shared / "fixtures/llava_med_original")  # its tokenizer writes 3 as a blank and a 3
    require_shares_of_passes(LlavaMedBackbone(checkpoint=checkpoint), list("012345"))


def require_shares_of_passes(backbone: Backbone, choices: list[str]) -> None:
    case = tiny_cases(1)[0]
    with backbone.open(Setting()) as live:
        shares = choice_shares(live, case, case.question, choices)
        apart = torch.tensor([log_probability(live, case, choice) for choice in choices]).softmax(0)
        assert shares == pytest.approx(apart.tolist(), abs=1e-4)
        assert mean_logp(live, case, "3", ended=False) < 0
