"""dropped.jsonl: the cases of which no pair was made or kept, each with the reason."""

from __future__ import annotations

from typing import ClassVar

from mmedpo.core.records import Case, CaseKind
from mmedpo.store.run_files.format import JsonRow
from mmedpo.store.run_files.measures import ImageFile


class DroppedCase(JsonRow):
    """A case that was left out, or of which a part made no pair, or whose pair nobody rated."""

    file: ClassVar = "dropped.jsonl"

    stage: str
    """`read`, `disprefer` or `weigh`."""
    case: str
    """As the reader named it."""
    reason: str
    """In the part's own words."""
    part: str = ""
    """Who left it, or made no pair of it, by its name in recipes."""
    pairs: str = ""
    """The kind of pairs that it gave none of."""
    kind: CaseKind | None = None
    """Of the question; left out, as what follows, where the case itself was never made."""
    question: str = ""
    """What is asked."""
    answer: str = ""
    """The clinician's answer."""
    image: ImageFile | None = None
    """What it is asked about; of several images, the first."""
    restricted: bool = True
    """Whether it must not leave the machine."""


def tell_dropped(case: Case, stage: str, reason: str, part: str = "", pairs: str = "") -> DroppedCase:
    """Make the row of a case that was made."""
    image = ImageFile(path=case.image.path, sha256=case.image.sha256)
    return DroppedCase(
        stage=stage,
        case=case.id,
        reason=reason,
        part=part,
        pairs=pairs,
        kind=case.kind,
        question=case.question,
        answer=case.answer,
        image=image,
        restricted=case.restricted,
    )
