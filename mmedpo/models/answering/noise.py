"""Sampling by seed: noise on the logits of an answer, so that the best of them is a sample that its seed decides."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class SeededNoise:
    """Add Gumbel noise to logits, each answer's from a seed of its own."""

    def __init__(self, temperature: float, seeds: Sequence[int]) -> None:
        self.temperature = temperature
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def of(self, numbers: Sequence[int]) -> SeededNoise:
        """Return the noise of these answers alone, numbered anew; it is drawn from the same generators."""
        some = SeededNoise(self.temperature, [])
        some._generators = [self._generators[number] for number in numbers]
        return some

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Take and return scores (answers, vocabulary) of all answers, as a logits processor of transformers does."""
        return self.add(scores, range(len(self._generators)))

    def add(self, scores: Tensor, numbers: Sequence[int]) -> Tensor:
        """Return scores (answers, vocabulary) of the answers of these numbers with their next noise."""
        noise = torch.stack([_draw_gumbel(self._generators[number], scores.shape[1]) for number in numbers])
        return scores.float() / self.temperature + noise.to(scores.device)


def _draw_gumbel(generator: torch.Generator, width: int) -> Tensor:
    """Draw -log(exponential) (width,), in the numbers of `exponential_` and a third of its time.

    On the CPU and in float64, so that a seed means the same noise on every device and -log(0) cannot happen.
    """
    waits = torch.empty(width, dtype=torch.float64).uniform_(generator=generator).neg_().log1p_().neg_()
    return waits.log_().neg_().float()
