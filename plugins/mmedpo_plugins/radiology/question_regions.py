"""Which regions of an image hold what its question is about."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from mmedpo import Case, Region


@dataclass(frozen=True)
class NoRegion:
    """Why no region is about the question."""

    reason: str


def question_regions(case: Case, which: Literal["about", "all"] = "about") -> tuple[Region, ...] | NoRegion:
    """Return the regions that hold what the question is about, or the reason why there are none."""
    if not case.regions:
        return NoRegion("the image has no region")
    if which == "all" or case.kind == "report":
        return case.regions
    if not case.about:
        denied = case.kind == "closed" and is_denial(case.answer)
        return NoRegion("the answer is no, about no known region") if denied else case.regions
    about = {label.casefold() for label in case.about}
    matching = tuple(region for region in case.regions if region.label.casefold() in about or not region.label)
    return matching or NoRegion("no region shows what the question is about")


def is_denial(answer: str) -> bool:
    """Tell whether an answer opens with no: it then says nothing of where something is."""
    return bool(re.match(r"\W*no\b", answer, re.IGNORECASE))


def region_note(region: Region) -> dict[str, Any]:
    """Return what a pair's notes say of a region."""
    note = {"label": region.label, "box": list(region.box), "confidence": region.confidence}
    return {**note, "image": region.image} if region.image else note
