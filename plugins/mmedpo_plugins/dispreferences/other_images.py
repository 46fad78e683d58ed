"""Dispreferences, and probes, that take the film away: another patient's in its place, a corner of it, or none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from math import exp, log, sqrt
from random import Random
from typing import Annotated, ClassVar

from pydantic import Field, model_validator

from mmedpo import Case, Dispreference, Drop, ImageRef, LiveBackbone, Pair, Setting, hookimpl, seed_for

Share = Annotated[float, Field(gt=0, le=1)]


@hookimpl
def mmedpo_dispreferences() -> list[type[Dispreference]]:
    return [ImageSwap, BlankImage, ImageCrop]


class ImageSwap(Dispreference):
    """Put another patient's film in place of the right one.

        evaluate: {probe: [{use: swap}, {use: blank}]}

    The other film is one of the same slice of the data, drawn by its content, so that the same data give the same
    films. It may show the same finding: as a probe it tells whether the model looks, as a dispreference it is noisy. A
    case of several films gets all those of another with as many.
    """

    use: ClassVar[str] = "swap"
    makes = "image"
    slice_size: ClassVar[int] = 128

    def disprefer(
        self, cases: Sequence[Case], backbone: LiveBackbone | None, earlier: Sequence[Sequence[Pair]]
    ) -> Iterator[Pair | Drop]:
        """Yield each film over another patient's, with the same answer."""
        films = {case.image.sha256: case for case in cases}
        for case in cases:
            others = sorted(name for name, other in films.items() if _may_stand_for(case, other))
            if not others:
                yield Drop(case.id, "no other patient's film is at hand")
                continue
            other = films[others[seed_for(0, "swap", case.image.sha256) % len(others)]]
            yield Pair(case, case.side(case.answer), other.side(case.answer), kind="image")


def _may_stand_for(case: Case, other: Case) -> bool:
    """Tell whether another case has other films, of another patient, and as many."""
    alike = case.image.sha256 == other.image.sha256 or len(case.images) != len(other.images)
    return not alike and (not case.group or case.group != other.group)


class BlankImage(Dispreference):
    """Put an even film of the same size and mean in place of the right one, or of each of several.

    evaluate: {probe: [{use: swap}, {use: blank}]}
    """

    use: ClassVar[str] = "blank"
    makes = "image"

    def disprefer(
        self, cases: Sequence[Case], backbone: LiveBackbone | None, earlier: Sequence[Sequence[Pair]]
    ) -> Iterator[Pair | Drop]:
        """Yield each film over an even one, with the same answer."""
        for case in cases:
            even = case.show([_even_image(image) for image in case.images])
            if even.images == case.images:
                yield Drop(case.id, "nothing changed")
                continue
            yield Pair(case, case.side(case.answer), even.side(case.answer), kind="image")


def _even_image(picture: ImageRef) -> ImageRef:
    from PIL import Image, ImageStat

    image = picture.load()
    mean = [round(value) for value in ImageStat.Stat(image).mean]
    return ImageRef.drawn(Image.new(image.mode, image.size, mean[0] if image.mode == "L" else tuple(mean)))


class ImageCrop(Dispreference):
    """Put a small piece of the film, enlarged to its size, in place of the film (mDPO, arXiv 2406.11839).

        disprefer:
          - {use: crop, least: 0.01, most: 0.2}

    Where the piece lies, how large it is, and whether it is up to a third wider than high or higher than wide, depends
    on the run's seed and the image alone. It may hold the lesion whole: the pair is then a noisy one. Of several films
    each is cropped.
    """

    use: ClassVar[str] = "crop"
    makes = "image"

    least: Share = 0.01
    """The least share of the film's area that is kept."""
    most: Share = 0.2
    """The greatest share of the film's area that is kept."""

    @model_validator(mode="after")
    def _in_order(self) -> ImageCrop:
        if self.least > self.most:
            raise ValueError(f"least ({self.least:g}) is more than most ({self.most:g})")
        return self

    def open(self, setting: Setting) -> AbstractContextManager[_LiveImageCrop]:
        """Yield the object that crops with the run's seed."""
        return nullcontext(_LiveImageCrop(self, setting.seed))


@dataclass(frozen=True)
class _LiveImageCrop:
    """The open dispreference: the options and the run's seed."""

    part: ImageCrop
    seed: int

    def disprefer(
        self, cases: Sequence[Case], backbone: LiveBackbone | None, earlier: Sequence[Sequence[Pair]]
    ) -> Iterator[Pair | Drop]:
        """Yield each film over a piece of it, with the same answer."""
        for case in cases:
            boxes = [self._draw_box(image) for image in case.images]
            pieces = [_enlarge_piece(image, box) for image, box in zip(case.images, boxes, strict=True)]
            if any(piece is None for piece in pieces):
                yield Drop(case.id, "nothing changed")
            else:
                cropped = case.show([piece for piece in pieces if piece])
                notes = {"pieces": list(map(list, boxes))} if case.more_images else {"piece": list(boxes[0])}
                yield Pair(case, case.side(case.answer), cropped.side(case.answer), kind="image", notes=notes)

    def _draw_box(self, picture: ImageRef) -> tuple[int, int, int, int]:
        image = picture.load()
        seed = seed_for(self.seed, "crop", picture.sha256 or ImageRef.drawn(image).sha256)
        return draw_piece(Random(seed), image.size, self.part.least, self.part.most)


def _enlarge_piece(picture: ImageRef, box: tuple[int, int, int, int]) -> ImageRef | None:
    """Return a piece of an image, enlarged to its size; None where that is what the image was."""
    image = picture.load()
    piece = image.resize(image.size, box=box)
    return None if piece.tobytes() == image.tobytes() else ImageRef.drawn(piece)


def draw_piece(random: Random, size: tuple[int, int], least: float, most: float) -> tuple[int, int, int, int]:
    """Draw a rectangle within an image: its area a share of the image's, its sides in a ratio from 3:4 to 4:3."""
    area = random.uniform(least, most) * size[0] * size[1]
    ratio = exp(random.uniform(-log(4 / 3), log(4 / 3)))
    width = min(size[0], sqrt(area * ratio))
    height = min(size[1], area / width)  # of an image too narrow for the ratio, the area counts
    wide, high = max(1, round(min(size[0], area / height))), max(1, round(height))
    left, top = random.randint(0, size[0] - wide), random.randint(0, size[1] - high)
    return left, top, left + wide, top + high
