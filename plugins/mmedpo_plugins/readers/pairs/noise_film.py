"""Films that MMedPO's trainer replaces by noise: entries with `rejected_noised: 1` or `chosen_noised: 1`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mmedpo import ImageRef, seed_for
from mmedpo.data import TableRow, show_value

if TYPE_CHECKING:
    from PIL.Image import Image

FLAGS = ("rejected_noised", "chosen_noised")
_DEVIATION = 10  # of the published code, in whose units white is 1: nearly every value is clipped to black or white


@dataclass(frozen=True)
class NoiseFilm:
    """Noise of the size of a film, in its place."""

    name: str

    def draw(self, path: Path) -> ImageRef:
        """Return the noise that stands for the film there; it is the same for all pairs of the film."""
        file = path.stat()
        source = f"noise for {self.name}, {path}, {file.st_size}, {file.st_mtime_ns}"
        return ImageRef.deferred(partial(_draw_noise, path, seed_for(0, "noise", self.name)), source)


def read_flag(row: TableRow) -> str:
    """Return which side an entry says to be noise, "" where none. Raises DataError for two images of one side."""
    told = [flag for flag in FLAGS if _is_set(row, flag)]
    others = ["rejected_image"] if row.values.get("rejected_image") else []
    if len(told + others) > 1 and told:
        raise row.wrong(f"has {' and '.join(told + others)}; a pair takes one of them")
    return told[0] if told else ""


def _is_set(row: TableRow, flag: str) -> bool:
    value = row.values.get(flag)
    if value not in (None, 0, 1):
        raise row.wrong(f"{flag!r} must be 0 or 1, not {show_value(value)}; 'rejected_image' names an image")
    return bool(value)


def _draw_noise(path: Path, seed: int) -> Image:
    import numpy as np
    from PIL import Image as pil

    width, height = ImageRef.at(path).load().size
    noise = np.random.Generator(np.random.PCG64(seed)).normal(0, _DEVIATION, (height, width, 3))
    return pil.fromarray((noise.clip(0, 1) * 255).astype(np.uint8))
