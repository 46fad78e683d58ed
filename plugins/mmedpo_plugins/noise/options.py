"""How much noise: the options that every part has which noises a film."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat

if TYPE_CHECKING:
    from PIL.Image import Image

    from mmedpo_plugins.noise.diffusion import Floats

Triple = tuple[float, float, float]


class NoiseOptions(BaseModel):
    """Noise by the paper's Eq. 2."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    step: int = Field(default=500, ge=1, le=1000)
    """The step k of the diffusion forward process, of 1000: how much noise."""
    schedule: Literal["sigmoid", "linear"] = "sigmoid"
    """The betas: POVID's sigmoid up to 0.005 (step 500: deviation 0.5), or DDPM's linear up to 0.02 (much stronger)."""
    mean: Triple = (0.48145466, 0.4578275, 0.40821073)
    """What standardises the image, per channel, in [0, 1]; by default CLIP's. A grey film takes the three's mean."""
    std: tuple[PositiveFloat, PositiveFloat, PositiveFloat] = (0.26862954, 0.26130258, 0.27577711)
    """The deviation that standardises the image, per channel; by default CLIP's."""
    resolution: int = Field(default=336, ge=1)
    """The side, in pixels, to which the backbone scales an image: a larger image gets a coarser grain, that lasts."""

    def add_to(self, image: Image, mask: Floats | None, seed: int) -> Image:
        """Return the image with noise inside the mask; without one, all over."""
        import numpy as np

        from mmedpo_plugins.noise.diffusion import add_noise, signal_factor

        inside = np.ones((image.height, image.width), dtype=np.float32) if mask is None else mask
        grain = ceil(max(image.size) / self.resolution)
        return add_noise(image, inside, signal_factor(self.step, self.schedule), seed, self.mean, self.std, grain)
