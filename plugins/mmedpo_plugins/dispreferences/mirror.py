"""The dispreference for sides: the film mirrored, so that left is right."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal

from mmedpo import Case, CaseKind, Dispreference, Drop, ImageRef, LiveBackbone, Pair, hookimpl
from mmedpo_plugins.radiology.opposites import opposite
from mmedpo_plugins.radiology.question_regions import NoRegion, is_denial, question_regions, region_note

SIDES = re.compile(r"\b(left|right)\b", re.IGNORECASE)
OTHER = {"left": "right", "right": "left"}


@hookimpl
def mmedpo_dispreferences() -> list[type[Dispreference]]:
    return [ImageMirror]


class ImageMirror(Dispreference):
    """Mirror the film, where question or answer name a side that is then the wrong one.

        disprefer:
          - {use: mirror}

    A closed question that names a side gives a pair where its answer is yes: a no says nothing about the other side.
    What is on both sides stays true in the mirror; leave such data out. A mirrored chest has its heart on the wrong
    side, by which a model can tell it without looking at the lesion; closed questions about the other side show it. Of
    several films all are mirrored.
    """

    use: ClassVar[str] = "mirror"
    makes = "image"

    pairs: Literal["same-answer", "flipped"] = "same-answer"
    """What is preferred: the film over its mirror image with the same answer, or, on the mirror image, the answer that
    is right there over the one that was (flipped)."""
    kinds: tuple[CaseKind, ...] = ("closed", "open", "report")
    """The kinds of case to make pairs of."""

    def disprefer(
        self, cases: Sequence[Case], backbone: LiveBackbone | None, earlier: Sequence[Sequence[Pair]]
    ) -> Iterator[Pair | Drop]:
        """Yield a pair of each case that a mirror makes wrong."""
        for case in cases:
            if case.kind not in self.kinds:
                yield Drop(case.id, f"kinds names no {case.kind} cases")
            elif other := mirrored_answer(case):
                mirrored = case.show([_mirror_image(image) for image in case.images])
                alike = mirrored.images == case.images
                yield Drop(case.id, "nothing changed") if alike else self._make_pair(case, mirrored, other)
            else:
                yield Drop(case.id, "the answer names no side that a mirror makes wrong")

    def _make_pair(self, case: Case, mirrored: Case, other: str) -> Pair:
        regions = question_regions(case)
        notes = {
            "regions": [] if isinstance(regions, NoRegion) else [region_note(one) for one in regions],
            "moved": True,  # the regions are those of the film itself
        }
        wrong = mirrored.side(case.answer)
        if self.pairs == "flipped":
            return Pair(case, mirrored.side(other), wrong, kind="image", notes={**notes, "flipped": True})
        return Pair(case, case.side(case.answer), wrong, kind="image", notes=notes)


def mirrored_answer(case: Case) -> str:
    """Return the answer that is right on the mirrored film; empty where it is the same, or where one cannot know."""
    if SIDES.search(case.answer):
        return SIDES.sub(_swap_side, case.answer)
    sides = {side.lower() for side in SIDES.findall(case.question)}
    if case.kind != "closed" or len(sides) != 1 or is_denial(case.answer):
        return ""
    return opposite(case.question, case.answer)


def _swap_side(match: re.Match[str]) -> str:
    word = match.group()
    other = OTHER[word.lower()]
    return other.upper() if word.isupper() else other.capitalize() if word[0].isupper() else other


def _mirror_image(picture: ImageRef) -> ImageRef:
    from PIL import ImageOps

    return ImageRef.drawn(ImageOps.mirror(picture.load()))
