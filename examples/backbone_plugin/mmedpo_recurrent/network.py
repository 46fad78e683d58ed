"""The network: convolutions make a film the state that a gated recurrence begins with, which then reads and writes.

No token stands for the image and there is no attention, so nothing can say where a token looks.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from transformers import GenerationMixin, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutput

SIZE = 64  # pixels a side that a film is shown at


class RecurrentConfig(PreTrainedConfig):
    """How large the network is."""

    model_type = "mmedpo_recurrent"
    vocab_size: int = 257
    hidden_size: int = 96
    num_hidden_layers: int = 2


class FilmTower(nn.Module):
    """Turn films (n, 1, 64, 64) into features (n, width)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        sizes = [1, 16, 32, width]
        self.steps = nn.ModuleList(nn.Conv2d(into, out, 3, stride=2, padding=1) for into, out in pairwise(sizes))

    def forward(self, films: Tensor) -> Tensor:
        for step in self.steps:
            films = torch.relu(step(films))
        return films.mean((2, 3))


class GatedRecurrence(nn.Module):
    """Let a state (n, width) forget and learn at each token: h = (1 - g) h + g c."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.gate, self.candidate, self.out = (nn.Linear(width, width) for _ in range(3))

    def forward(self, hidden: Tensor, there: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Take tokens (n, tokens, width), which of them count (n, tokens, 1), and the state before the first."""
        normed = self.norm(hidden)
        gates, candidates = torch.sigmoid(self.gate(normed)) * there, torch.tanh(self.candidate(normed))
        states = []
        for gate, candidate in zip(gates.unbind(1), candidates.unbind(1), strict=True):
            state = torch.lerp(state, candidate, gate)
            states.append(state)
        return hidden + self.out(torch.stack(states, 1)), state


class Speaker(nn.Module):
    """Read and write tokens, from the state that a film left."""

    def __init__(self, config: RecurrentConfig) -> None:
        super().__init__()
        self.words = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(GatedRecurrence(config.hidden_size) for _ in range(config.num_hidden_layers))

    def forward(self, input_ids: Tensor, attention_mask: Tensor, states: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Return hidden states (n, tokens, width), and what each layer remembers in the end."""
        hidden: Tensor = self.words(input_ids)
        there, after = attention_mask[..., None].to(hidden.dtype), []
        for layer, state in zip(self.layers, states, strict=True):
            hidden, state = layer(hidden, there, state)
            after.append(state)
        return hidden, after


class FilmRecurrence(PreTrainedModel, GenerationMixin):
    """The whole network, as PEFT and mmedpo's trainer take it: token ids and films in, logits out."""

    config: RecurrentConfig
    config_class = RecurrentConfig
    main_input_name = "input_ids"

    def __init__(self, config: RecurrentConfig) -> None:
        super().__init__(config)
        width = config.hidden_size
        self.tower = FilmTower(width)
        self.projector = nn.Linear(width, width * config.num_hidden_layers)
        self.speaker = Speaker(config)
        self.head = nn.Linear(width, config.vocab_size, bias=False)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.speaker.words

    def get_output_embeddings(self) -> nn.Module:
        return self.head

    def get_decoder(self) -> nn.Module:
        """Return what is language, so that training knows it from the tower."""
        return self.speaker

    def see(self, pixel_values: Tensor) -> list[Tensor]:
        """Return the state that each layer begins with, one (n, width) a layer."""
        return list(self.projector(self.tower(pixel_values)).chunk(self.config.num_hidden_layers, dim=1))

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        pixel_values: Tensor,
        use_cache: bool = False,
        **kwargs: Any,
    ) -> CausalLMOutput:
        """Return the logits of the next token at each position; padding, on whichever side, changes no state."""
        hidden, _ = self.speaker(input_ids, attention_mask, self.see(pixel_values))
        return CausalLMOutput(logits=self.head(hidden))
