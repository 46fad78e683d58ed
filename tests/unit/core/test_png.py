"""PNG files of our own are read by others as they were meant."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from mmedpo.core.png import encode_png


@pytest.mark.parametrize(("mode", "size"), [("L", (1, 1)), ("L", (7, 5)), ("RGB", (1, 3)), ("RGB", (33, 20))])
def test_what_is_written_is_read_back_pixel_by_pixel(mode: str, size: tuple[int, int]) -> None:
    shape = (size[1], size[0]) if mode == "L" else (size[1], size[0], 3)
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))
    with Image.open(io.BytesIO(encode_png(image))) as file:
        file.verify()
    with Image.open(io.BytesIO(encode_png(image))) as file:
        assert (file.mode, file.size) == (mode, size)
        assert file.tobytes() == image.tobytes()
