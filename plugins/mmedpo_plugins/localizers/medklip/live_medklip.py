"""An open MedKLIP: films in, regions with their heat maps out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from mmedpo import Case, ImageRef, LiveBackbone, Region
from mmedpo_plugins.heat_maps.regions import hot_region

if TYPE_CHECKING:
    from mmedpo_plugins.localizers.medklip.network import MedKlipNetwork

SIDE = 224
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet


@dataclass(frozen=True)
class LiveMedKlip:
    """The network, and what it is asked."""

    network: MedKlipNetwork
    words: Tensor  # of all queries
    query: int  # the place of the one whose map is wanted
    label: str
    quantile: float
    batch_size: int

    def localize(self, cases: Sequence[Case], backbone: LiveBackbone | None) -> list[list[Region]]:
        """Return the hottest region of each case's image."""
        starts = range(0, len(cases), self.batch_size)
        return [regions for at in starts for regions in self._localize_batch(cases[at : at + self.batch_size])]

    def _localize_batch(self, cases: Sequence[Case]) -> Iterator[list[Region]]:
        films = torch.stack([read_film(case.image) for case in cases]).to(self.words.device)
        with torch.inference_mode():
            maps, chances = self.network(films, self.words)
        found = zip(cases, maps[:, self.query].cpu().numpy(), chances[:, self.query].tolist(), strict=True)
        for case, heat, chance in found:
            region = hot_region(heat, case.image.load().size, self.quantile, self.label, round(chance, 6))
            yield [region] if region else []


def read_film(image: ImageRef) -> Tensor:
    """Return a film (3, 224, 224), squashed to a square and standardised."""
    from PIL import Image

    small = image.load().convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    values = torch.from_numpy(np.array(small, dtype=np.float32)).permute(2, 0, 1) / 255
    return (values - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
