"""Label a text: each finding that it states, once, with all that it says of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mmedpo_plugins.radiology.traits import FindingMention, Status

_FIRST: tuple[Status, ...] = ("present", "uncertain", "absent")


@dataclass(frozen=True)
class FindingLabel:
    """What a text as a whole says of one finding."""

    status: Status  # the surest presence that is stated anywhere: "small left effusion, no right effusion" is present
    sides: frozenset[str] = frozenset()  # of all statements with that status
    places: frozenset[str] = frozenset()


def label_findings(mentions: Iterable[FindingMention]) -> dict[str, FindingLabel]:
    """Return the label of each finding that is mentioned, by its name."""
    by_name: dict[str, list[FindingMention]] = {}
    for mention in mentions:
        by_name.setdefault(mention.finding, []).append(mention)
    return {name: _merge(some) for name, some in by_name.items()}


def _merge(mentions: list[FindingMention]) -> FindingLabel:
    status = min((mention.status for mention in mentions), key=_FIRST.index)
    same = [mention for mention in mentions if mention.status == status]
    sides, places = (frozenset[str]().union(*parts) for parts in zip(*((m.sides, m.places) for m in same), strict=True))
    return FindingLabel(status, sides, places)
