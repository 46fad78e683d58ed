"""POVID's loss: the formula of its released code, and films under its noise."""

from __future__ import annotations

from math import exp, log

import numpy as np
import pytest
import torch
from losses import make_loss
from mmedpo_plugins.losses.povid import NOISED, PovidLoss
from mmedpo_plugins.noise.diffusion import signal_factor

from mmedpo import LossBatch, SideLogps
from mmedpo.testing import tiny_batch, tiny_pairs


def side(policy: float, reference: float) -> SideLogps:
    values = torch.tensor([policy]), torch.tensor([reference])
    return SideLogps(*values, torch.tensor([1]), values[0][:, None])


def softplus(value: float) -> float:
    return log(1 + exp(value))


@pytest.mark.parametrize("share", [0.0, 0.5, 0.8])
def test_it_is_half_of_each_term_as_in_the_released_code(share: float) -> None:
    further = {NOISED: side(-2.0, -3.5)}
    batch = LossBatch(side(-4.0, -5.0), side(-7.0, -6.0), 0.1, torch.ones(1), further)
    injected = softplus(-0.1 * ((-4.0 + 7.0) - (-5.0 + 6.0)))  # pi_logratios - ref_logratios
    own = softplus(-0.1 * ((-4.0 + 2.0) - (-5.0 + 3.5)))
    expected = (1 - share) * injected + share * own
    assert float(PovidLoss(share=share).compute(batch)) == pytest.approx(expected, rel=1e-6)


def test_without_the_models_own_tokens_it_is_dpo() -> None:
    batch = tiny_batch(further=[NOISED])
    assert torch.equal(PovidLoss(share=0).compute(batch), make_loss("sigmoid").compute(batch))


def test_the_further_side_is_the_chosen_answer_on_a_film_that_is_noised_all_over() -> None:
    pairs = tiny_pairs("text", 3)
    sides = PovidLoss().further_sides(pairs, 0)
    assert [one[NOISED].answer for one in sides] == [pair.chosen.answer for pair in pairs]
    before, after = (np.asarray(film.load()).astype(float) for film in (pairs[0].chosen.image, sides[0][NOISED].image))
    assert (before != after).mean() > 0.95
    inside = (before > 0) & (after > 0) & (after < 255)
    spread = 0.27 * 255 * np.sqrt(1 - signal_factor(500))  # of CLIP's standardised film
    assert np.std((after - np.sqrt(signal_factor(500)) * before)[inside]) == pytest.approx(spread, rel=0.15)


def test_the_noise_depends_on_the_seed_and_the_film_alone() -> None:
    (pair,) = tiny_pairs("text", 1)
    once, again, other = (PovidLoss().further_sides([pair], seed)[0][NOISED].image for seed in (0, 0, 1))
    assert once.held.source == again.held.source != other.held.source
    assert once.load().tobytes() == again.load().tobytes() != other.load().tobytes()
    stronger = PovidLoss(step=900).further_sides([pair], 0)[0][NOISED].image
    assert stronger.held.source != once.held.source
