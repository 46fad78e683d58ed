"""FiSAO's loss: PPO's clipped objective of each word's own reward, and rewards by a vision encoder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from mmedpo_plugins.losses.fisao.fisao import FisaoLoss
from mmedpo_plugins.losses.fisao.rewards import reward_tokens
from mmedpo_plugins.losses.fisao.verifier import open_verifier
from tiny_clip import write_tiny_clip

from mmedpo import Case, DataError, ImageRef, LossBatch, Pair, Setting, Side, SideLogps
from mmedpo.testing import tiny_cases

FILM = tiny_cases(1)[0].image


class Scripted:
    """Rates words as it was told."""

    def __init__(self, **ratings: float) -> None:
        self.ratings, self.asked = ratings, list[tuple[ImageRef, Sequence[str]]]()

    def rate(self, picture: ImageRef, words: Sequence[str]) -> list[float]:
        self.asked.append((picture, words))
        return [self.ratings[word.replace(" ", "_")] for word in words]


def pair(chosen: str, rejected: str, truth: str = "") -> Pair:
    case = Case("c", FILM, "Describe the findings.", truth or chosen)
    return Pair(case, Side(FILM, chosen), Side(FILM, rejected), "text")


def words(text: str) -> list[str]:
    """Split a text as tokens do: the space belongs to the word after it; the end is empty."""
    return [text.split(" ")[0], *(f" {word}" for word in text.split(" ")[1:]), ""]


def side(policy: list[float], reference: list[float], rewards: list[float]) -> SideLogps:
    rows = [torch.tensor([row]) for row in (policy, reference, rewards)]
    return SideLogps(rows[0].sum(1), rows[1].sum(1), torch.tensor([len(policy)]), rows[0], rows[1], ratings=rows[2])


def test_it_is_ppos_clipped_objective_of_both_answers() -> None:
    log = torch.tensor([1.5, 0.5, 1.0]).log().tolist()  # how much likelier each token has become
    chosen, rejected = side(log, [0.0] * 3, [2.0, -1.0, 0.0]), side(log, [0.0] * 3, [-3.0, 0.0, 0.0])
    found = FisaoLoss(verifier="x", clip=0.2).compute(LossBatch(chosen, rejected, 0.1, torch.ones(1)))
    first = (min(1.5 * 2, 1.2 * 2) + min(0.5 * -1, 0.8 * -1)) / 2  # over the two tokens with a reward
    second = min(1.5 * -3, 1.2 * -3)
    assert float(found) == pytest.approx(-first - second)


def test_before_the_first_step_the_gradient_is_each_tokens_reward() -> None:
    policy = torch.zeros(1, 3, requires_grad=True)
    rewards = torch.tensor([[2.0, -1.0, 0.0]])
    one = SideLogps(policy.sum(1), torch.zeros(1), torch.tensor([3]), policy, torch.zeros(1, 3), ratings=rewards)
    none = side([0.0] * 3, [0.0] * 3, [0.0] * 3)
    FisaoLoss(verifier="x").compute(LossBatch(one, none, 0.1, torch.ones(1))).sum().backward()
    assert policy.grad is not None
    assert policy.grad.tolist() == [[-1.0, 0.5, 0.0]]


def test_each_token_of_a_word_has_its_reward_and_all_others_have_none() -> None:
    verifier = Scripted(pleural_effusion=0.5, nodule=0.3, mass=0.1)
    pairs = [pair("A pleural effusion. A nodule.", "A mass. The heart is normal.", "A pleural effusion and a nodule.")]
    ((chosen, rejected),) = reward_tokens(
        pairs, [(words(one.chosen.answer), words(one.rejected.answer)) for one in pairs], verifier, 0.0
    )
    spread = pytest.approx((0.5 - 0.4) / 0.1633, abs=1e-3)  # above the true words' mean of 0.4
    assert chosen == [0, spread, spread, 0, 0, 0]
    assert rejected == [0] * 7  # 0.1 is the mean of the wrong words
    assert verifier.asked == [(FILM, ["pleural effusion", "nodule", "mass"])], "an image is looked at once"


def test_a_verifier_that_cannot_tell_true_words_from_wrong_is_told_of() -> None:
    verifier = Scripted(nodule=0.1, mass=0.4)
    answers = [(words("A nodule."), words("A mass."))]
    with pytest.warns(UserWarning, match="no higher than those of wrong ones"):
        ((chosen, rejected),) = reward_tokens([pair("A nodule.", "A mass.")], answers, verifier, 0.0)
    assert chosen[1] < 0 < rejected[1]


def test_without_words_that_claim_findings_nothing_is_rewarded_and_a_warning_says_so() -> None:
    with pytest.warns(UserWarning, match="nothing to compare"):
        rewards = reward_tokens([pair("Yes", "No")], [(["Yes", ""], ["No", ""])], Scripted(), 0.0)
    assert rewards == [([0.0, 0.0], [0.0, 0.0])]


def test_a_verifier_rates_words_by_their_text_and_the_image(tmp_path: Path) -> None:
    folder = write_tiny_clip(tmp_path / "clip")
    with open_verifier(str(folder), Setting()) as verifier:
        ratings = verifier.rate(FILM, ["nodule", "pleural effusion", "nodule"])
        (other,) = verifier.rate(tiny_cases(2)[1].image, ["nodule"])
    assert ratings[0] == pytest.approx(ratings[2], abs=1e-6)
    assert len({round(one, 5) for one in (*ratings, other)}) == 3
    assert all(-1 <= rating <= 1 for rating in ratings)


def test_a_checkpoint_without_a_text_tower_is_refused(tmp_path: Path) -> None:
    from transformers import CLIPVisionConfig, CLIPVisionModel

    size = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    CLIPVisionModel(CLIPVisionConfig(**size, image_size=28, patch_size=14)).save_pretrained(tmp_path)
    with pytest.raises(DataError), open_verifier(str(tmp_path), Setting()):
        pass
