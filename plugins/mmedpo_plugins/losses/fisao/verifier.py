"""A vision encoder with its text tower: how near words are to an image."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mmedpo import DataError
from mmedpo.models import explain_load_errors, load_model

if TYPE_CHECKING:
    from mmedpo import ImageRef, Setting


@dataclass(frozen=True)
class ImageVerifier:
    """An open model of CLIP's make."""

    model: Any
    processor: Any

    def rate(self, picture: ImageRef, words: Sequence[str]) -> list[float]:
        """Return the cosine of an image with each of several words."""
        import torch

        image = picture.load().convert("RGB")
        inputs = self.processor(text=list(words), images=image, return_tensors="pt", padding=True, truncation=True)
        with torch.no_grad():
            found = self.model(**inputs.to(self.model.device))
        cosines: list[float] = torch.cosine_similarity(found.image_embeds.float(), found.text_embeds.float()).tolist()
        return cosines


@contextmanager
def open_verifier(checkpoint: str, setting: Setting) -> Iterator[ImageVerifier]:
    """Open a checkpoint that reads images and texts into one space. Raises DataError for any other."""
    from dataclasses import replace

    from transformers import AutoModel, AutoProcessor

    with explain_load_errors(checkpoint):
        model, _ = load_model(AutoModel, checkpoint, replace(setting, quantize=None))
        processor = AutoProcessor.from_pretrained(checkpoint)
    if not hasattr(model, "get_text_features") or not hasattr(model, "get_image_features"):
        raise DataError(f"{checkpoint}: a {type(model).__name__} has no towers for image and text, as CLIP has")
    try:
        yield ImageVerifier(model.eval(), processor)
    finally:
        del model
        gc.collect()
