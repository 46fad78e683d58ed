"""Tiny cases and pairs, for tests of parts."""

from __future__ import annotations

from mmedpo.core.images import ImageRef
from mmedpo.core.records import Case, Pair, PairKind, Region


def tiny_cases(count: int = 4) -> list[Case]:
    """Make cases with small grey images: a bright square that is the lesion, its region, closed and open questions."""
    return [_tiny_case(number) for number in range(count)]


def _tiny_case(number: int) -> Case:
    import numpy as np
    from PIL import Image

    pixels = np.full((56, 56), 40 + number % 100, dtype=np.uint8)
    left, top = 4 + 5 * (number % 8), 8 + 3 * (number % 10)
    pixels[top : top + 12, left : left + 12] = 200
    box = (float(left), float(top), float(left + 12), float(top + 12))
    closed = number % 2 == 0
    return Case(
        id=f"tiny-{number}",
        image=ImageRef.drawn(Image.fromarray(pixels)),
        question="Is there a nodule?" if closed else "Where is the nodule?",
        answer="Yes" if closed else "In the left upper lobe.",
        kind="closed" if closed else "open",
        group=f"image-{number}",
        about=("nodule",),
        regions=(Region("nodule", box, 0.5 + 0.05 * (number % 10)),),
        restricted=False,
    )


def tiny_pairs(kind: PairKind = "text", count: int = 4) -> list[Pair]:
    """Make pairs of one kind: another answer, or an image without its square."""
    return [make_pair(case, kind) for case in tiny_cases(count)]


def make_pair(case: Case, kind: PairKind) -> Pair:
    """Make a pair of a case: a wrong answer, or its image without what is bright."""
    chosen = case.side(case.answer)
    if kind == "image":
        blank = case.image.load().point(lambda value: min(value, 40))
        regions = [{"label": one.label, "box": list(one.box), "confidence": 0.9} for one in case.regions]
        return Pair(case, chosen, chosen.show(ImageRef.drawn(blank)), "image", "tiny", notes={"regions": regions})
    wrong = "No" if case.kind == "closed" else "In the right lower lobe."
    return Pair(case, chosen, case.side(wrong), "text", "tiny")
