"""A backbone that is opened when something of it is needed, by whatever stands in front of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from mmedpo.registry.contracts.backbone import Encoding, LiveBackbone, TokenPlaces

if TYPE_CHECKING:
    import torch

    from mmedpo.core.images import ImageRef


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

    def __init__(self, open_backbone: Callable[[], LiveBackbone]) -> None:
        """Take what opens the backbone, or returns it where it is open."""
        self._open = open_backbone

    @property
    def live(self) -> LiveBackbone:
        """The backbone itself."""
        return self._open()

    def encode(self, images: Sequence[ImageRef], question: str, answer: str) -> Encoding:
        """Encode one side for training."""
        return self.live.encode(images, question, answer)

    def token_places(self, size: tuple[int, int]) -> TokenPlaces | None:
        """Return what the tokens of an image see of it."""
        return self.live.token_places(size)

    def collate(self, vision: Sequence[Mapping[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
        """Concatenate the vision tensors of several images."""
        return self.live.collate(vision)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.live, name)  # what a backbone has beside the contract
