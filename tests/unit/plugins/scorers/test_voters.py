"""Voters that are language models: behind an endpoint, and in this process."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from mmedpo_plugins.scorers.med_llm_vote.consensus import Vote
from mmedpo_plugins.scorers.med_llm_vote.endpoint_voter import EndpointVoter
from mmedpo_plugins.scorers.med_llm_vote.live_local_voter import LiveLocalVoter
from mmedpo_plugins.scorers.med_llm_vote.local_voter import LocalVoter
from mmedpo_plugins.scorers.med_llm_vote.med_llm_vote import MedLlmVoteScorer
from mmedpo_plugins.scorers.med_llm_vote.rules_voter import RulesVoter
from voting import NODULE, Memory, text_pair

from mmedpo import DataError, RecipeError, Score, Setting
from mmedpo.endpoints import strip_thoughts
from mmedpo.testing import FakeReply, fake_endpoint


def opinion(score: Any, reason: str = "A nodule may be cancer.") -> str:
    return json.dumps({"score": score, "reason": reason})


def saying(*texts: str) -> Callable[[dict[str, Any], int], FakeReply]:
    left = list(texts)
    return lambda request, before: FakeReply(text=left.pop(0) if len(left) > 1 else left[0])


def scored(acts: Callable[[dict[str, Any], int], FakeReply], **options: Any) -> tuple[Score, list[dict[str, Any]]]:
    with fake_endpoint(acts) as server:
        remote = EndpointVoter(model="m", base_url=server.url)
        part = MedLlmVoteScorer(**{"voters": (RulesVoter(), remote), "order": "fixed", **options})
        with part.open(Setting(journal=Memory())) as live:  # type: ignore[arg-type]
            (score,) = live.score([NODULE])
    return score, server.bodies


# ---------------------------------------------------------------- behind an endpoint


def test_a_model_sees_the_texts_and_the_vote_before_its_own_with_its_reason_and_no_image() -> None:
    score, bodies = scored(saying(opinion(9)))
    asked = bodies[0]["messages"][1]["content"]
    assert isinstance(asked, str)
    for part in ("Is there a nodule?", "Correct answer: Yes", "Other answer: No", "gave 9, because: nodule: present"):
        assert part in asked
    assert score.relevance == 0.9
    assert score.evidence["votes"][1] == {"voter": "m", "score": 9, "reason": "A nodule may be cancer."}


def test_a_model_that_replaces_the_score_is_debated_to_the_round_limit() -> None:
    score, bodies = scored(saying(opinion(4)), rounds=3)
    assert score.relevance == pytest.approx((9 * 3 + 4 * 3) / 60)
    assert (len(score.evidence["votes"]), score.evidence["agreed"]) == (6, False)
    assert len(bodies) == 1, "the same question is not paid for twice"


def test_an_independent_voter_is_told_of_nobody() -> None:
    _, bodies = scored(saying(opinion(4)), protocol="independent")
    assert "colleague" not in bodies[0]["messages"][1]["content"]


def test_a_score_out_of_range_is_sent_back() -> None:
    score, bodies = scored(saying(opinion(11), opinion(9)))
    assert score.evidence["votes"][1]["score"] == 9
    assert "whole number from 0 to 10" in bodies[1]["messages"][-1]["content"]


def test_a_model_that_refuses_is_missing_with_its_reason_and_the_others_decide() -> None:
    score, _ = scored(lambda request, before: FakeReply(refusal="I cannot help"))
    assert score.relevance == 0.9
    assert score.evidence["votes"][1] == {"voter": "m", "score": None, "reason": "the model refused"}


def test_restricted_data_do_not_go_to_another_machine() -> None:
    part = MedLlmVoteScorer(voters=(EndpointVoter(model="m", base_url="http://10.0.0.7:8000/v1"),))
    with part.open(Setting()) as live, pytest.raises(RecipeError, match=r"10\.0\.0\.7"):
        live.score([text_pair("Is there a nodule?", "Yes", "No", restricted=True)])


# ---------------------------------------------------------------- in this process

WORDS = ["<pad>", "<eos>", "<unk>", *"0123456789", "Score", ":", *"abcdefghij"]


def make_tokenizer(template: bool) -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.WordLevel({word: at for at, word in enumerate(WORDS)}, unk_token="<unk>"))
    digits = pre_tokenizers.Digits(individual_digits=True)
    core.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), digits])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<eos>", pad_token="<pad>", unk_token="<unk>")
    if template:
        tokenizer.chat_template = "{% for m in messages %}a {{ m.content }} b {% endfor %}c "
    return tokenizer


def make_folder(folder: Path, *, template: bool = True) -> Path:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=len(WORDS), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, initializer_range=0.4, pad_token_id=0, eos_token_id=1, bos_token_id=None,
    )  # fmt: skip
    torch.manual_seed(3)
    LlamaForCausalLM(config).save_pretrained(folder)
    make_tokenizer(template).save_pretrained(folder)
    return folder


PAIRS = [NODULE, text_pair("a b c d e f?", "g h", "i j a b c d"), text_pair("j?", "a", "b")]


def opened(folder: Path, **options: Any) -> Any:
    return LocalVoter(model=str(folder), **options).open(Setting())


def brute_force(voter: LiveLocalVoter, text: str) -> torch.Tensor:
    """Return log p of each score by running the text with each score alone."""
    logps = []
    for score in range(11):
        ids = torch.tensor([voter.tokenizer(f"{text} {score}", add_special_tokens=False).input_ids])
        with torch.no_grad():
            table = voter.model(ids).logits[0].float().log_softmax(-1)
        digits = 2 if score == 10 else 1
        own = sum(table[at - 1, ids[0, at]] for at in range(ids.shape[1] - digits, ids.shape[1]))
        ending = torch.log1p(-table[-1, WORDS.index("0")].exp()) if score == 1 else torch.tensor(0.0)
        logps.append(own + ending)
    return torch.stack(logps)


@pytest.mark.parametrize("template", [True, False])
def test_the_scores_probabilities_are_those_of_each_score_alone_whatever_the_batch(
    tmp_path: Path, template: bool
) -> None:
    with opened(make_folder(tmp_path, template=template)) as voter:
        texts = ["a b c Score:", "d e f g h i j a b Score:", "Score:"]
        found = voter.score_logps(texts)
        for row, text in zip(found, texts, strict=True):
            assert torch.allclose(row, brute_force(voter, text), atol=1e-4)
        assert found.exp().sum(1).max() <= 1 + 1e-5


def test_a_local_model_always_gives_a_score_and_says_how_sure_it_was(tmp_path: Path) -> None:
    with opened(make_folder(tmp_path), name="tiny", batch_size=2) as voter:
        votes = voter.vote(PAIRS, [None, Vote("other", 3, "because"), None])
        alone = [voter.vote([pair], [None])[0] for pair in (PAIRS[0], PAIRS[2])]
    assert [vote.voter for vote in votes] == ["tiny"] * 3
    assert all(vote.score is not None and vote.reason.startswith("p ") for vote in votes)
    assert [votes[0], votes[2]] == alone


OPENED = ["<think>\n", "<thinking>", "[THINK]", "◁think▷", "<|start|>assistant"]


@pytest.mark.parametrize("opened", OPENED)
def test_a_local_model_that_would_think_first_is_asked_for_the_score_after_its_thoughts(opened: str) -> None:
    tokenizer = make_tokenizer(True)
    tokenizer.chat_template = "{% for m in messages %}{{ m.content }}{% endfor %}" + opened
    voter = LiveLocalVoter("x", None, None, tokenizer)  # type: ignore[arg-type]
    asked = voter._write_prompt("system", "user")
    assert strip_thoughts(asked) is not None, "a score within a thought would be a draft"
    assert asked.endswith(voter._lead)


def test_calibration_takes_out_what_a_model_says_to_nothing(tmp_path: Path) -> None:
    nothing = text_pair("N/A", "N/A", "N/A")
    with opened(make_folder(tmp_path), calibrate=True) as voter:
        (vote,) = voter.vote([nothing], [None])
    assert vote.reason == "p 0.09, mean 5.0", "every score is as likely as any other"


def test_a_tokenizer_with_a_blank_of_its_own_before_a_number_is_asked_after_the_blank(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {word: at for at, word in enumerate(["<unk>", "Ġ", *"0123456789", "S", "c", "o", "r", "e", ":"])}
    core = Tokenizer(models.BPE(words, [], unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, unk_token="<unk>")
    voter = LiveLocalVoter("x", None, None, tokenizer)  # type: ignore[arg-type]
    assert voter._lead == "Score: "
    assert voter._score_tokens == [[words[digit] for digit in str(score)] for score in range(11)]


def test_a_model_that_is_not_there_is_named() -> None:
    with pytest.raises(DataError, match="nowhere"), opened(Path("/nowhere/at/all")):
        pass
    with (
        pytest.raises(RecipeError, match="pip install"),
        LocalVoter(model="x", package="no_such_package").open(Setting()),
    ):
        pass
