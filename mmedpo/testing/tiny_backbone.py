"""An open backbone for tests of parts: its answers come from a list, its network has random weights."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from mmedpo.core.answers import Answer, was_cut
from mmedpo.core.records import Case, seed_for
from mmedpo.errors import DataError
from mmedpo.registry.contracts.backbone import Encoding, LiveBackbone, TokenPlaces

if TYPE_CHECKING:
    from mmedpo.core.images import ImageRef
    from mmedpo.models.backbone import TransformersBackbone

OF_NETWORK = ("model", "tokenizer", "lora_targets", "projector")


class TinyBackbone(LiveBackbone):
    """An open backbone that answers from a list, and is as strict as a real one about how it is asked.

    It samples with a seed a case alone, cuts an answer after `max_new_tokens` words, and is shown one image. What else
    is asked of it (`encode`, `model`, `token_places`) is of a network of a few thousand random weights, made when it
    is first asked for.
    """

    def __init__(self, answers: Sequence[str] = ("No", "Yes", "In the right lower lobe.")) -> None:
        """Answer with one of these: greedily the first, sampled one chosen by case and seed."""
        self._answers = answers

    @cached_property
    def _network(self) -> TransformersBackbone:
        from mmedpo.testing.tiny_network import make_tiny_network

        return make_tiny_network()

    def __getattr__(self, name: str) -> Any:
        """Take what is of the network from there; a run may put something else in its place."""
        if name not in OF_NETWORK:
            raise AttributeError(name)
        vars(self).update({own: getattr(self._network, own) for own in OF_NETWORK})
        return vars(self)[name]

    def encode(self, images: Sequence[ImageRef], question: str, answer: str) -> Encoding:
        """Encode one side for training."""
        return self._network.encode(images, question, answer)

    def token_places(self, size: tuple[int, int]) -> TokenPlaces | None:
        """Return what the tokens of an image see of it."""
        return self._network.token_places(size)

    def answer(
        self,
        cases: Sequence[Case],
        *,
        max_new_tokens: int = 64,
        temperature: float = 0.0,
        seeds: Sequence[int] | None = None,
    ) -> list[str]:
        """Return an answer for each case; see `LiveBackbone.answer`."""
        if temperature > 0 and (seeds is None or len(seeds) != len(cases)):
            raise ValueError("sampling needs one seed per case")
        for case in cases:
            if case.more_images:
                raise DataError(f"TinyBackbone: is shown one image at a time, and here are {len(case.images)}")
        drawn = seeds if temperature > 0 and seeds is not None else [None] * len(cases)
        return [self._say(case, seed, max_new_tokens) for case, seed in zip(cases, drawn, strict=True)]

    def _say(self, case: Case, seed: int | None, most: int) -> Answer:
        said = self._answers[0 if seed is None else seed_for(seed, case.id) % len(self._answers)]
        words = said.split()
        return Answer(said, was_cut(said)) if len(words) <= most else Answer(" ".join(words[:most]), cut=True)
