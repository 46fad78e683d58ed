"""A backbone that is opened when something of it is needed, by whatever stands in front of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, cast

from mmedpo.core.records import Case
from mmedpo.registry.conformance.blame import blame_part
from mmedpo.registry.contracts.backbone import Encoding, LiveBackbone, TokenPlaces
from mmedpo.registry.plugin_info import PluginInfo

if TYPE_CHECKING:
    import torch

    from mmedpo.core.images import ImageRef


def require_seeds(cases: Sequence[Case], temperature: float, seeds: Sequence[int] | None) -> None:
    """Raise ValueError, which is the fault of whoever asks, where cases would be sampled without a seed of each."""
    if temperature > 0 and (seeds is None or len(seeds) != len(cases)):
        raise ValueError("sampling needs one seed per case")


def _delegate(name: str) -> Any:
    return cast(Any, property(lambda self: getattr(self.live, name)))


class LazyBackbone(LiveBackbone):
    """A backbone that is not opened until something other than what a subclass does itself is asked of it."""

    model = _delegate("model")
    tokenizer = _delegate("tokenizer")
    lora_targets = _delegate("lora_targets")
    projector = _delegate("projector")
    processor = _delegate("processor")
    types_key = _delegate("types_key")
    image_features = _delegate("image_features")
    causal = _delegate("causal")

    def __init__(self, open_backbone: Callable[[], LiveBackbone], plugin: PluginInfo | None = None) -> None:
        """Take what opens the backbone, or returns it where it is open, and whom to blame for what it does."""
        self._open, self._plugin = open_backbone, plugin

    @property
    def live(self) -> LiveBackbone:
        """The backbone itself."""
        return self._open()

    @property
    def blame(self) -> AbstractContextManager[None]:
        """Blames the backbone for what goes wrong in it, and not whoever asks it."""
        return blame_part(self._plugin, None) if self._plugin else nullcontext()

    def answer(
        self,
        cases: Sequence[Case],
        *,
        max_new_tokens: int = 64,
        temperature: float = 0.0,
        seeds: Sequence[int] | None = None,
    ) -> list[str]:
        """Answer each case, by its own seed where it is sampled; see `LiveBackbone.answer`."""
        require_seeds(cases, temperature, seeds)
        live = self.live
        with self.blame:
            return live.answer(cases, max_new_tokens=max_new_tokens, temperature=temperature, seeds=seeds)

    def encode(self, images: Sequence[ImageRef], question: str, answer: str) -> Encoding:
        """Encode one side for training."""
        live = self.live
        with self.blame:
            return live.encode(images, question, answer)

    def token_places(self, size: tuple[int, int]) -> TokenPlaces | None:
        """Return what the tokens of an image see of it."""
        live = self.live
        with self.blame:
            return live.token_places(size)

    def collate(self, vision: Sequence[Mapping[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
        """Concatenate the vision tensors of several images."""
        return self.live.collate(vision)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.live, name)  # what a backbone has beside the contract
