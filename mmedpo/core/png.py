"""Write PNG files fast: Pillow tries five filters a row and takes three times as long for films with noise in them."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.Image import Image

SIGNATURE = b"\x89PNG\r\n\x1a\n"
COLOUR = {"L": 0, "RGB": 2}
SUB = 1  # the filter: each byte less that of the pixel before it


def encode_png(image: Image) -> bytes:
    """Return an 8-bit L or RGB image as a PNG file, lossless; the Sub filter in each row, Huffman codes alone."""
    import numpy as np

    pixels = np.asarray(image)
    rows = pixels.reshape(image.height, -1)
    step = rows.shape[1] // image.width
    filtered = np.empty((image.height, rows.shape[1] + 1), np.uint8)
    filtered[:, 0] = SUB
    filtered[:, 1 : step + 1] = rows[:, :step]
    np.subtract(rows[:, step:], rows[:, :-step], out=filtered[:, step + 1 :])  # modulo 256, as PNG wants it
    squeeze = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS, 9, zlib.Z_HUFFMAN_ONLY)
    data = squeeze.compress(filtered.tobytes()) + squeeze.flush()
    head = struct.pack(">IIBBBBB", image.width, image.height, 8, COLOUR[image.mode], 0, 0, 0)
    return SIGNATURE + _encode_chunk(b"IHDR", head) + _encode_chunk(b"IDAT", data) + _encode_chunk(b"IEND", b"")


def _encode_chunk(name: bytes, data: Any) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(name)))
