"""Dispreferences, and probes, that take the film away: another patient's in its place, or none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

from mmedpo import Case, Dispreference, Drop, ImageRef, LiveBackbone, Pair, Side, hookimpl, seed_for


@hookimpl
def mmedpo_dispreferences() -> list[type[Dispreference]]:
    return [ImageSwap, BlankImage]


class ImageSwap(Dispreference):
    """Put another patient's film in place of the right one.

        evaluate: {probe: [{use: swap}, {use: blank}]}

    The other film is one of the same slice of the data, drawn by its content, so that the same data give the same
    films. It may show the same finding: as a probe it tells whether the model looks, as a dispreference it is noisy.
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
            others = sorted(
                name for name, other in films.items() if name != case.image.sha256 and _have_two_patients(case, other)
            )
            if not others:
                yield Drop(case.id, "no other patient's film is at hand")
                continue
            other = films[others[seed_for(0, "swap", case.image.sha256) % len(others)]].image
            yield Pair(case, Side(case.image, case.answer), Side(other, case.answer), kind="image")


def _have_two_patients(case: Case, other: Case) -> bool:
    return not case.group or case.group != other.group


class BlankImage(Dispreference):
    """Put an even film of the same size and mean in place of the right one.

    evaluate: {probe: [{use: swap}, {use: blank}]}
    """

    use: ClassVar[str] = "blank"
    makes = "image"

    def disprefer(
        self, cases: Sequence[Case], backbone: LiveBackbone | None, earlier: Sequence[Sequence[Pair]]
    ) -> Iterator[Pair | Drop]:
        """Yield each film over an even one, with the same answer."""
        for case in cases:
            yield Pair(case, Side(case.image, case.answer), Side(_even_image(case.image), case.answer), kind="image")


def _even_image(picture: ImageRef) -> ImageRef:
    from PIL import Image, ImageStat

    image = picture.load()
    mean = [round(value) for value in ImageStat.Stat(image).mean]
    return ImageRef.drawn(Image.new(image.mode, image.size, mean[0] if image.mode == "L" else tuple(mean)))
