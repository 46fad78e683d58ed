"""The open backbone: the network with the words around it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from mmedpo import Answer, Case, Encoding, ImageRef, LiveBackbone
from mmedpo.models import tokenize_plain
from mmedpo_recurrent.network import SIZE, FilmRecurrence

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

END = "</s>"


class LiveRecurrent(LiveBackbone):
    """Answer and encode, the cases of a call at once."""

    lora_targets = r"speaker\.layers\.\d+\.(gate|candidate|out)"
    projector = r"projector"
    causal = True

    def __init__(self, model: Any, tokenizer: PreTrainedTokenizerFast) -> None:
        """Take the network, perhaps with an adapter on it."""
        self.model, self.tokenizer = model.eval(), tokenizer

    @property
    def network(self) -> FilmRecurrence:
        """The network below an adapter."""
        model = self.model
        base: FilmRecurrence = model.get_base_model() if hasattr(model, "get_base_model") else model
        return base

    def encode(self, images: Sequence[ImageRef], question: str, answer: str) -> Encoding:
        """Encode one side for training: the question's bytes and the answer's."""
        asked = self._ask(question)
        said = [*tokenize_plain(self.tokenizer, answer), self._end]
        return Encoding([*asked, *said], len(asked), [{"pixel_values": look_at(image)} for image in images])

    @torch.no_grad()
    def answer(
        self,
        cases: Sequence[Case],
        *,
        max_new_tokens: int = 64,
        temperature: float = 0.0,
        seeds: Sequence[int] | None = None,
    ) -> list[str]:
        """Answer each case's question about its image."""
        if not cases:
            return []
        network = self.network
        draws = [torch.Generator().manual_seed(seed % 2**63) for seed in seeds or [0] * len(cases)]
        asked, there = _pad([self._ask(case.question) for case in cases])
        films = torch.cat([look_at(case.image) for case in cases]).to(network.device, network.dtype)
        hidden, states = network.speaker(asked.to(network.device), there.to(network.device), network.see(films))
        ends = there.sum(1) - 1  # the last token of each question
        last = hidden[torch.arange(len(cases)), ends.to(hidden.device)]
        said: list[list[int]] = [[] for _ in cases]
        for _ in range(max_new_tokens):
            tokens = _choose(network.head(last).float().cpu(), temperature, draws)
            for answer, token in zip(said, tokens.tolist(), strict=True):
                if self._end not in answer[-1:]:
                    answer.append(token)
            if all(answer[-1] == self._end for answer in said):
                break
            step = tokens[:, None].to(network.device)
            hidden, states = network.speaker(step, torch.ones_like(step), states)
            last = hidden[:, 0]
        texts = self.tokenizer.batch_decode(said, skip_special_tokens=True)
        return [Answer(text.strip(), cut=tokens[-1:] != [self._end]) for text, tokens in zip(texts, said, strict=True)]

    @property
    def _end(self) -> int:
        return int(self.tokenizer.eos_token_id)

    def _ask(self, question: str) -> list[int]:
        return [self._end, *tokenize_plain(self.tokenizer, f"{question}\n")]


def look_at(image: ImageRef) -> Tensor:
    """Return a film as the tower sees it, (1, 1, 64, 64), from -1 to 1."""
    grey = np.asarray(image.load().convert("L").resize((SIZE, SIZE)))
    return torch.tensor(grey, dtype=torch.float32)[None, None] / 127.5 - 1


def _pad(rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Return rows of tokens, filled up on the right, and which of them count."""
    longest = max(map(len, rows))
    tokens = torch.tensor([[*row, *[0] * (longest - len(row))] for row in rows])
    return tokens, torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])


def _choose(logits: Tensor, temperature: float, draws: Sequence[torch.Generator]) -> Tensor:
    """Return the next token of each row (n,): the likeliest, or one drawn by the row's own random numbers."""
    if temperature == 0:
        return logits.argmax(1)
    chances = (logits / temperature).softmax(1)
    return torch.cat([torch.multinomial(row, 1, generator=own) for row, own in zip(chances, draws, strict=True)])
