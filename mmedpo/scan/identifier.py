"""What a scan finds: an identifier in a text, and where in which file it stands."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

LEVELS = {"certain": 0.85, "likely": 0.5, "possible": 0.0}  # how sure, and from which score on
PLACES = 3  # of an identifier that a file repeats, so many places are kept


@dataclass(frozen=True)
class FileText:
    """A text of a file, its place there, and the name that stands before it: a key, a column, a tag."""

    place: str
    text: str
    name: str = ""


@dataclass(frozen=True)
class IdentifierMatch:
    """An identifier within a text."""

    kind: str
    start: int
    end: int
    score: float
    why: str = "by its form"


@dataclass
class Identifier:
    """An identifier in a file, with its first places."""

    kind: str
    file: str
    text: str = field(repr=False)
    score: float = 0.0
    why: str = ""
    places: list[str] = field(default_factory=list)
    count: int = 0

    @property
    def level(self) -> str:
        """Return how sure it is that this is one, in a word."""
        return next(word for word, least in LEVELS.items() if self.score >= least)

    def add(self, place: str, match: IdentifierMatch) -> None:
        """Count another place."""
        if match.score > self.score:
            self.score, self.why = match.score, match.why
        if len(self.places) < PLACES:
            self.places.append(place)
        self.count += 1

    def to_json(self, show: bool) -> dict[str, Any]:
        """Return what a script is told; the value in full where it is to be shown."""
        value = self.text if show else mask(self.text)
        told = {"kind": self.kind, "file": self.file, "places": self.places, "count": self.count}
        return {**told, "level": self.level, "score": round(self.score, 2), "why": self.why, "value": value}


def mask(text: str) -> str:
    """Return the first character of a value, and how many it has."""
    return f"{text[:1]}… ({len(text)} characters)" if len(text) > 1 else "…"


def drop_overlaps(matches: Iterator[IdentifierMatch]) -> list[IdentifierMatch]:
    """Keep of the matches that overlap the surest, and of these the longest."""
    kept: list[IdentifierMatch] = []
    for one in sorted(matches, key=lambda match: (-match.score, match.start - match.end)):
        if all(one.end <= other.start or other.end <= one.start for other in kept):
            kept.append(one)
    return kept
