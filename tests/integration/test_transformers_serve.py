"""The real `transformers serve`, with models of ours behind it: a voter's, without JSON schema, and a backbone's."""

from __future__ import annotations

import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Mmedpo
from forks import Forks
from mmedpo_plugins.phantom.backbone import WEIGHTS
from mmedpo_plugins.scorers.med_llm_vote.endpoint_voter import EndpointVoter
from mmedpo_plugins.scorers.med_llm_vote.med_llm_vote import MedLlmVoteScorer

from mmedpo import Case, ImageRef, Pair, Setting, Side

pytest.importorskip("uvicorn", reason="transformers serve needs uvicorn")
pytest.importorskip("fastapi", reason="transformers serve needs fastapi")

# What the model says, word by word: prose to a first question, the JSON that was asked for when it is sent back.
FIRST = ("first", "Seven,", "surely.", "<eos>")
AGAIN = ("again", '{"score":', "7", ',"reason":', '"A', "nodule", 'matters."}', "<eos>")
WORDS = ["<unk>", "<pad>", *dict.fromkeys((*FIRST, *AGAIN))]
TEMPLATE = "{% for m in messages %}{{ m.content }} {% endfor %}{{ 'again' if messages | length > 2 else 'first' }}"


def make_model(folder: Path) -> None:
    """Save a model whose next word depends on the last one alone: its only layer adds nothing to the word."""
    from transformers import LlamaConfig, LlamaForCausalLM

    eos = WORDS.index("<eos>")
    config = LlamaConfig(
        vocab_size=len(WORDS), hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=8192, tie_word_embeddings=False,
        bos_token_id=None, eos_token_id=eos, pad_token_id=WORDS.index("<pad>"),
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        model.model.layers[0].self_attn.o_proj.weight.zero_()
        model.model.layers[0].mlp.down_proj.weight.zero_()
        model.model.embed_tokens.weight.copy_(torch.eye(len(WORDS), 32))
        model.lm_head.weight.zero_()
        for chain in (FIRST, AGAIN):
            for word, following in pairwise(chain):
                model.lm_head.weight[WORDS.index(following), WORDS.index(word)] = 1.0
    model.save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)


def make_tokenizer() -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.WordLevel({word: at for at, word in enumerate(WORDS)}, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<eos>", pad_token="<pad>", unk_token="<unk>")
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def free_port() -> int:
    with closing(socket.socket()) as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def served(folder: Path, log: Path, python: Path) -> Iterator[str]:
    """Run `transformers serve` on a model until it answers; yield its address."""
    port = free_port()
    script = "from transformers.cli.transformers import main; main()"  # wherever its command is installed
    command = [str(python), "-c", script, "serve", str(folder), "--device", "cpu"]
    quiet = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    with log.open("wb") as out:
        server = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)], stdout=out, stderr=out, env=quiet
        )
        try:
            wait_for(f"http://127.0.0.1:{port}/health", server, log)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            server.terminate()
            server.wait(30)


def wait_for(address: str, server: subprocess.Popen[bytes], log: Path, seconds: float = 180) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until and server.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"transformers serve did not start: {log.read_text()[-2000:]}")


@pytest.fixture(scope="module")
def voter(tmp_path_factory: pytest.TempPathFactory, forks: Forks) -> Iterator[dict[str, str]]:
    place = tmp_path_factory.mktemp("serve")
    make_model(place / "model")
    with served(place / "model", place / "log", forks.python) as address:
        yield {"model": str(place / "model"), "base_url": address, "name": "served"}


def votes_of(**options: Any) -> list[dict[str, Any]]:
    case = Case("c", ImageRef(sha256="p"), "Is there a nodule?", "Yes", restricted=True)
    pairs = [Pair(case, Side(case.image, "Yes"), Side(case.image, no), "text", number=at) for at, no in enumerate("ab")]
    part = MedLlmVoteScorer(voters=(EndpointVoter(**options),))
    with part.open(Setting()) as live:
        scores = live.score(pairs)
    assert all(len(score.evidence["votes"]) == 1 for score in scores)
    return [score.evidence["votes"][0] for score in scores]


@pytest.mark.slow
@pytest.mark.parametrize("structured", ["auto", "prompt"])
def test_a_served_model_that_answers_in_prose_is_asked_again_and_votes(voter: dict[str, str], structured: str) -> None:
    expected = {"voter": "served", "score": 7, "reason": "A nodule matters."}
    assert votes_of(**voter, structured=structured) == [expected] * 2


@pytest.mark.slow
def test_a_served_model_that_is_not_asked_again_is_missing_with_a_reason(voter: dict[str, str]) -> None:
    for vote in votes_of(**voter, repairs=0):
        assert vote["score"] is None
        assert vote["reason"]


RECIPE = """
output: run
data: {{use: phantom, images: 2, reports: 0}}
backbone: {{use: phantom, answers: {{base_url: "{url}", model: "{model}", concurrency: 1}}}}
disprefer: [{{use: self-hallucination, samples: 2, least: 0.01}}]
unrated: keep
"""


@pytest.mark.slow
def test_a_served_backbone_answers_as_the_one_here_and_samples_by_seeds(
    mmedpo: Mmedpo, forks: Forks, tmp_path: Path
) -> None:
    with served(WEIGHTS, tmp_path / "log", forks.python) as address:
        (tmp_path / "recipe.yaml").write_text(RECIPE.format(url=address, model=WEIGHTS))
        first = mmedpo("run", "recipe.yaml", "--until", "weigh", "output=one", "journal=one.sqlite")
        again = mmedpo("run", "recipe.yaml", "--until", "weigh", "output=two", "journal=two.sqlite")
    assert first.returncode == again.returncode == 0, first.stderr + again.stderr
    assert "does not take top_k, min_p, repetition_penalty" in first.stderr
    one, two = ((tmp_path / name / "pairs.jsonl").read_text() for name in ("one", "two"))
    assert one == two.replace("two/", "one/") != ""
