"""The films of a review page: at their own resolution, without loss, each once, as much as one page may hold."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmedpo.core.images import ImageRef
from mmedpo.core.png import encode_png
from mmedpo.errors import DataError
from mmedpo.store.run_images import RunImages

if TYPE_CHECKING:
    from PIL.Image import Image

MEGABYTE = 10**6


@dataclass(frozen=True)
class FilmText:
    """A film as the page holds it."""

    text: str  # PNG in base64
    size: str  # in words


class ReviewFilms:
    """Number the films of a page as they are first needed, and write them one after the other."""

    def __init__(self, images: RunImages, most_megabytes: int, max_side: int | None) -> None:
        """Take where the films are found, how much of the page they may take, and how large one may be."""
        self._images, self._most, self._max_side = images, most_megabytes * MEGABYTE, max_side
        self._numbers: dict[str, int] = {}
        self._films: list[ImageRef] = []
        self.reduced = 0  # films that are shown smaller than they are
        self.size = 0  # of those written so far, in characters

    def __len__(self) -> int:
        return len(self._films)

    def find(self, picture: ImageRef) -> bool:
        """Tell whether a film can be shown."""
        return picture.sha256 in self._numbers or self._images.load(picture) is not None

    def number(self, picture: ImageRef) -> int:
        """Return a film's number on the page."""
        if picture.sha256 not in self._numbers:
            self._numbers[picture.sha256] = len(self._films)
            self._films.append(picture)
        return self._numbers[picture.sha256]

    def write_all(self) -> Iterator[FilmText]:
        """Yield each film. Raises DataError when they are more than a page may hold."""
        for done, picture in enumerate(self._films, start=1):
            image = self._images.load(picture)
            if image is None:
                raise DataError(f"{picture.path}: was there a moment ago, and is gone or another image now")
            film = self._encode(image)
            self.size += len(film.text)
            self._require_room(done)
            yield film

    def _encode(self, image: Image) -> FilmText:
        size = f"{image.width:,} x {image.height:,} pixels"
        if self._max_side and max(image.size) > self._max_side:
            self.reduced += 1
            image.thumbnail((self._max_side, self._max_side))
            size = f"{image.width:,} x {image.height:,} of {size}"
        return FilmText(base64.b64encode(encode_png(image)).decode(), size)

    def _require_room(self, done: int) -> None:
        if self.size > self._most:
            whole = self.size / done * len(self._films) / MEGABYTE
            raise DataError(
                f"the first {done:,} of {len(self._films):,} films take more than the {self._most / MEGABYTE:,.0f} MB "
                f"that a page may hold; all would take about {whole:,.0f} MB: ask for fewer pairs (--per-kind), "
                "smaller films (--max-side 1024), or a larger page (--max-megabytes), which not every browser will open"
            )


def list_films(sides: Sequence[Sequence[ImageRef]]) -> list[ImageRef]:
    """Return the films of both sides, each once."""
    return list(dict.fromkeys(film for side in sides for film in side))
