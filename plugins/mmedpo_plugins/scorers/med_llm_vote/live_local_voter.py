"""A language model that can answer with nothing but a score: the probabilities of the numbers from 0 to 10."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext, redirect_stderr
from dataclasses import dataclass
from functools import cached_property
from io import StringIO
from typing import TYPE_CHECKING, Any

from mmedpo import Pair, Setting
from mmedpo.endpoints import PromptTemplates, close_thinking
from mmedpo.models import explain_load_errors, load_model
from mmedpo_plugins.scorers.med_llm_vote.consensus import SCALE, Vote
from mmedpo_plugins.scorers.med_llm_vote.voter_turn import render_turn

if TYPE_CHECKING:
    from torch import Tensor

LEAD = "Score:"  # what the model's answer begins with


@dataclass(frozen=True)
class ModelPlace:
    """Where a model lies."""

    folder: str  # or its name on the hub
    gguf_file: str = ""  # the file in it, of a model in GGUF form


@dataclass
class LiveLocalVoter:
    """A local voter in use."""

    name: str  # what the evidence calls it
    prompts: PromptTemplates
    model: Any
    tokenizer: Any
    batch_size: int = 8
    calibrate: bool = False

    @classmethod
    def load(cls, name: str, place: ModelPlace, prompts: PromptTemplates, setting: Setting) -> LiveLocalVoter:
        """Load model and tokenizer onto the setting's device."""
        from transformers import AutoModelForCausalLM, AutoTokenizer

        extra = {"gguf_file": place.gguf_file} if place.gguf_file else {}
        with redirect_stderr(StringIO()) if extra else nullcontext():  # a GGUF file's bars know no switch
            model, _ = load_model(AutoModelForCausalLM, place.folder, setting, **extra)
            with explain_load_errors(place.folder):
                tokenizer = AutoTokenizer.from_pretrained(place.folder, **extra)
        tokenizer.padding_side = "left"
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        return cls(name, prompts, model, tokenizer)

    def vote(self, pairs: Sequence[Pair], seen: Sequence[Vote | None]) -> list[Vote]:
        """Rate each pair by the most probable score; the reason is how probable it was, and the mean."""
        texts = [
            self._write_prompt(*render_turn(self.prompts, pair, before))
            for pair, before in zip(pairs, seen, strict=True)
        ]
        order = sorted(range(len(texts)), key=lambda at: len(texts[at]))  # like lengths together: little is padded
        votes: dict[int, Vote] = {}
        for start in range(0, len(order), self.batch_size):
            some = order[start : start + self.batch_size]
            votes |= dict(zip(some, self._make_votes(self.score_logps([texts[at] for at in some])), strict=True))
        return [votes[at] for at in range(len(texts))]

    def _make_votes(self, logps: Tensor) -> list[Vote]:
        """Make votes of log-probabilities (pairs, scores)."""
        import torch

        shares = (logps - self._prior_logps if self.calibrate else logps).softmax(1)
        means = shares @ torch.arange(SCALE + 1, dtype=shares.dtype)
        best, chosen = shares.max(1)
        rows = zip(chosen.tolist(), best.tolist(), means.tolist(), strict=True)
        return [Vote(self.name, score, f"p {p:.2f}, mean {mean:.1f}") for score, p, mean in rows]

    @cached_property
    def _prior_logps(self) -> Tensor:
        """The log-probabilities of the scores (1, scores) for a pair without content."""
        nothing = {"question": "N/A", "truth": "N/A", "wrong": "N/A", "score": None, "reason": ""}
        return self.score_logps(
            [self._write_prompt(self.prompts.render("system"), self.prompts.render("user", **nothing))]
        )

    def _write_prompt(self, system: str, user: str) -> str:
        """Write the turns as the model was trained to read them, up to where the number comes."""
        turns = [{"role": "system", "content": system}, {"role": "user", "content": user}]
        if not self.tokenizer.chat_template:
            return f"{system}\n\n{user}\n\n{self._lead}"
        how = {"tokenize": False, "add_generation_prompt": True, "enable_thinking": False}
        try:
            text = self.tokenizer.apply_chat_template(turns, **how)
        except Exception:  # some templates know no system turn, and raise what they like
            one = [{"role": "user", "content": f"{system}\n\n{user}"}]
            text = self.tokenizer.apply_chat_template(one, **how)
        return f"{close_thinking(text)}{self._lead}"  # within a thought, a score would be a draft

    def score_logps(self, texts: Sequence[str]) -> Tensor:
        """Return log p of each score as the text's next tokens (texts, scores), float32 on the CPU.

        The texts run once; scores that begin with the same token (1 and 10) are told apart one token further on.
        """
        import torch

        special = not self.tokenizer.chat_template  # a template writes them itself
        encoded = self.tokenizer(list(texts), return_tensors="pt", padding=True, add_special_tokens=special)
        encoded = {name: encoded[name].to(self.model.device) for name in ("input_ids", "attention_mask")}
        places = (encoded["attention_mask"].cumsum(1) - 1).clamp_min(0)
        with torch.no_grad():
            output = self.model(**encoded, position_ids=places, use_cache=True, logits_to_keep=1)
            first = output.logits[:, -1].float().log_softmax(1)
            table = first.new_zeros(len(texts), SCALE + 1)
            for head, scores in self._scores_by_head.items():
                table[:, scores] = first[:, [head]]
                if len(scores) > 1:
                    table[:, scores] += self._continuation_logps(
                        encoded["attention_mask"], output.past_key_values, head, scores
                    )
        return table.cpu()

    def _continuation_logps(self, mask: Tensor, cache: Any, head: int, scores: Sequence[int]) -> Tensor:
        """Return log p of how each score goes on after their common first token (texts, scores)."""
        import copy

        import torch

        step = mask.new_full((len(mask), 1), head)
        longer = torch.cat([mask, torch.ones_like(step)], dim=1)
        places = mask.sum(1, keepdim=True)
        output = self.model(
            input_ids=step, attention_mask=longer, position_ids=places, past_key_values=copy.deepcopy(cache)
        )
        going_on = output.logits[:, -1].float().log_softmax(1)
        seconds = [tokens[1] for score in scores if len(tokens := self._score_tokens[score]) > 1]
        ending = 1 - going_on[:, seconds].exp().sum(1)
        parts = [
            going_on[:, tokens[1]] if len(tokens := self._score_tokens[score]) > 1 else ending.clamp_min(1e-12).log()
            for score in scores
        ]
        return torch.stack(parts, dim=1)

    @cached_property
    def _score_tails(self) -> list[list[int]]:
        """The tokens of each score after the lead, its blank included."""
        lead = self.tokenizer(LEAD, add_special_tokens=False).input_ids
        both = [self.tokenizer(f"{LEAD} {score}", add_special_tokens=False).input_ids for score in range(SCALE + 1)]
        return [ids[len(lead) :] for ids in both]

    @cached_property
    def _is_blank_apart(self) -> bool:
        """Whether the blank before a number is a token of its own, and so belongs to the question."""
        return len({tail[0] for tail in self._score_tails}) == 1

    @cached_property
    def _lead(self) -> str:
        return f"{LEAD} " if self._is_blank_apart else LEAD

    @cached_property
    def _score_tokens(self) -> list[list[int]]:
        """The tokens of each score."""
        return [tail[1:] if self._is_blank_apart else tail for tail in self._score_tails]

    @cached_property
    def _scores_by_head(self) -> dict[int, list[int]]:
        """The scores by their first token."""
        heads: dict[int, list[int]] = {}
        for score, tokens in enumerate(self._score_tokens):
            heads.setdefault(tokens[0], []).append(score)
        return heads
