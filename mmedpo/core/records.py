"""What flows through a run: cases, regions, pairs, scores. Frozen, comparable, and JSON both ways."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import cache
from typing import Any, Literal, TypeVar

from mmedpo.core.images import ImageRef

CaseKind = Literal["closed", "open", "report"]
PairKind = Literal["text", "image"]
LEFT_OUT = {"left_out": True}  # of a field that files have where it holds something, and not where it is 0 or empty
GIVEN = "given"  # the key in a pair's notes for what came with its published score: scorer, evidence, weight


@dataclass(frozen=True)
class Region:
    """Where in an image a finding is."""

    label: str  # the finding, in the data's own word: "nodule"; "" when unknown
    box: tuple[float, float, float, float]  # left, top, right, bottom in pixels; right and bottom exclusive
    confidence: float = 1.0  # of whoever drew it, in [0, 1]
    mask: ImageRef | None = None  # mode L, the image's size: 0 outside, 255 inside, greys where it is less sure
    image: int = field(default=0, metadata=LEFT_OUT)  # which image of the case it lies in, counted from 0
    heat: ImageRef | None = field(default=None, metadata=LEFT_OUT)  # as a mask: the whole map, 255 where it is hottest


@dataclass(frozen=True)
class Case:
    """One image or several, one question, the clinician's answer."""

    id: str  # unique within its reader
    image: ImageRef  # the first of them, or the only one
    question: str
    answer: str
    kind: CaseKind = "open"
    group: str = ""  # what belongs together when cases are resampled or split: patient, else image; "" means the image
    about: tuple[str, ...] = ()  # labels of the findings the question is about, where the data says
    regions: tuple[Region, ...] = ()  # the reader's annotation; a localizer puts its own here
    restricted: bool = True  # must not leave this machine; so is every case of a restricted reader
    notes: Mapping[str, Any] = field(default_factory=dict)  # JSON; whatever else the data says
    more_images: tuple[ImageRef, ...] = field(default=(), metadata=LEFT_OUT)  # after the first: a lateral view, slices

    @property
    def images(self) -> tuple[ImageRef, ...]:
        """All images, in the order in which the model is shown them."""
        return (self.image, *self.more_images)

    def side(self, answer: str) -> Side:
        """Return a side that shows all images of the case, with this answer."""
        return Side(self.image, answer, self.more_images)

    def by_image(self) -> list[Case]:
        """Return a case of each image, with the regions that lie in it."""
        if not self.more_images:
            return [self]
        return [
            replace(self, image=image, more_images=(), regions=self._regions_in(at))
            for at, image in enumerate(self.images)
        ]

    def _regions_in(self, image: int) -> tuple[Region, ...]:
        return tuple(replace(region, image=0) for region in self.regions if region.image == image)

    def show(self, images: Sequence[ImageRef]) -> Case:
        """Return the same question about other images."""
        return replace(self, image=images[0], more_images=tuple(images[1:]))


@dataclass(frozen=True)
class Side:
    """One side of a pair."""

    image: ImageRef  # the first image, or the only one
    answer: str
    more_images: tuple[ImageRef, ...] = field(default=(), metadata=LEFT_OUT)

    @property
    def images(self) -> tuple[ImageRef, ...]:
        """All images, in the order in which the model is shown them."""
        return (self.image, *self.more_images)

    def show(self, image: ImageRef, at: int = 0) -> Side:
        """Return the same side with another image in the place of one."""
        first, *more = (image if place == at else own for place, own in enumerate(self.images))
        return replace(self, image=first, more_images=tuple(more))


@dataclass(frozen=True)
class Pair:
    """A preference: for one question, the chosen side over the rejected side."""

    case: Case
    chosen: Side
    rejected: Side
    kind: PairKind  # what the dispreference changed: the answer, or the image
    made_by: str = ""  # the dispreference (the pipeline fills it in) or the data set
    number: int = 0  # counts the pairs that one dispreference makes of one case
    relevance: float | None = None  # a published score, in [0, 1]; then no scorer is asked
    notes: Mapping[str, Any] = field(default_factory=dict)  # JSON; how it was made

    @property
    def id(self) -> str:
        """Name the pair within its run."""
        return f"{self.case.id}/{self.made_by}/{self.number}"


@dataclass(frozen=True)
class Drop:
    """A case of which no pair was made, and why; reasons are counted, so keep them few and plain."""

    case_id: str
    reason: str
    passing: bool = False  # what was in the way may be gone: the next run of the same recipe tries again


@dataclass(frozen=True)
class Remark:
    """What is odd about a case or pair that is read all the same; texts are counted as reasons of drops are."""

    case_id: str
    text: str


ReadRecord = Case | Pair | Drop | Remark  # what a reader yields


@dataclass(frozen=True)
class Score:
    """How clinically relevant the difference within a pair is, and the evidence for it."""

    relevance: float | None  # in [0, 1]; None: the scorer abstains
    evidence: Mapping[str, Any] = field(default_factory=dict)  # JSON: votes, rounds, reasons
    scorer: str = ""  # the pipeline fills it in


@dataclass(frozen=True)
class WeightedPair:
    """A pair ready for training."""

    pair: Pair
    score: Score
    weight: float


Record = TypeVar("Record", Case, Region, Pair, Score, Drop, WeightedPair)


def to_json(record: Any) -> Any:
    """Turn a record, or a list of them, into plain JSON values; a picture becomes its path and hash."""
    kind: Any = type(record)
    if record is None or kind in PLAIN:  # most of what there is, and the end of every way down
        return record
    if names := field_names(record):
        return {name: to_json(getattr(record, name)) for name in names}
    if isinstance(record, Mapping):
        return {str(key): to_json(value) for key, value in record.items()}
    if isinstance(record, (list, tuple)):
        return [to_json(item) for item in record]
    return record


PLAIN = frozenset((str, int, float, bool))


def field_names(record: Any) -> tuple[str, ...]:
    """Name the fields that a file holds of a record; none of what is no record."""
    kind: Any = type(record)
    always, sometimes = _names_of_fields(kind)
    there = [name for name in sometimes if getattr(record, name)] if sometimes else ()
    return (*always, *there) if there else always


@cache
def _names_of_fields(kind: type) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Name the fields of a kind of record that a file always holds, and those that it leaves out where they are empty.

    Of what is no record there are none.
    """
    held = [item for item in (fields(kind) if is_dataclass(kind) else ()) if item.name not in ("held", "place")]
    sometimes = tuple(item.name for item in held if item.metadata == LEFT_OUT)
    return tuple(item.name for item in held if item.name not in sometimes), sometimes


@cache
def _adapter(kind: Any) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def from_json(kind: type[Record], value: Any) -> Record:
    """Rebuild a record from what `to_json` gave."""
    any_kind: Any = kind
    return _adapter(any_kind).validate_python(value)


def digest(*values: Any) -> str:
    """Return the SHA-256 of JSON values, the same on every machine."""
    return hashlib.sha256(_dump_for_hash(values)).hexdigest()


def digest_with(*values: Any) -> Callable[[Any], str]:
    """Return what gives `digest(*values, last)` of one more value: the others are hashed once."""
    head = hashlib.sha256(_dump_for_hash(values)[:-1] + b",")

    def add(last: Any) -> str:
        whole = head.copy()
        whole.update(_dump_for_hash(last) + b"]")
        return whole.hexdigest()

    return add


class ListDigest:
    """The `digest` of a list whose values come one by one."""

    def __init__(self) -> None:
        """Start with none."""
        self._hash, self._before = hashlib.sha256(b"[["), b""

    def add(self, value: Any) -> None:
        """Add a value."""
        self._hash.update(self._before + _dump_for_hash(value))
        self._before = b","

    def hexdigest(self) -> str:
        """Return the digest of the values so far."""
        whole = self._hash.copy()
        whole.update(b"]]")
        return whole.hexdigest()


def _dump_for_hash(value: Any) -> bytes:
    return _FOR_HASH.encode(value).encode()


_FOR_HASH = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def seed_for(seed: int, *names: Any) -> int:
    """Derive an item's own seed (63 bits), so that no result depends on what was drawn before it."""
    return int(digest(seed, *names)[:15], 16)
