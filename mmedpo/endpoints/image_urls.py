"""Images as a request carries them: pixels only, downscaled, in a data URL."""

from __future__ import annotations

import asyncio
import base64
from collections import OrderedDict
from io import BytesIO

from mmedpo.core.images import ImageRef


def encode_data_url(picture: ImageRef, longest: int) -> str:
    """Encode a picture as PNG, its longer side at most so many pixels; whatever else its file says stays here."""
    from PIL import Image

    image = picture.load()
    if max(image.size) > longest:
        scale = longest / max(image.size)
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        image = image.resize(size, Image.Resampling.LANCZOS)
    held = BytesIO()
    bare = Image.frombytes(image.mode, image.size, image.tobytes())  # the file's own notes and profiles stay behind
    bare.save(held, format="PNG")
    return "data:image/png;base64," + base64.b64encode(held.getvalue()).decode()


class DataUrlCache:
    """Recent pictures, encoded once each, beside the event loop."""

    remembered = 32

    def __init__(self, longest: int) -> None:
        """Take the longest side in pixels."""
        self._longest = longest
        self._urls: OrderedDict[str, asyncio.Future[str]] = OrderedDict()

    async def get(self, picture: ImageRef) -> str:
        """Return a picture's data URL."""
        key = picture.sha256 or picture.path
        if key not in self._urls:
            self._urls[key] = asyncio.ensure_future(asyncio.to_thread(encode_data_url, picture, self._longest))
            while len(self._urls) > self.remembered:
                self._urls.popitem(last=False)
        self._urls.move_to_end(key)
        return await asyncio.shield(self._urls[key])
