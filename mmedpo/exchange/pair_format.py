"""What a form of preference data is, and what each has beside its own columns.

Whatever a form has no place for stands in three columns of ours that its tool does not read: `relevance`, `weight`,
and `mmedpo`, a JSON text. The reader `pairs` reads each form back, with these columns or without.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

from mmedpo.core.images import ImageRef, hash_pixels
from mmedpo.core.png import encode_png
from mmedpo.core.records import GIVEN, Pair, Region, WeightedPair, to_json
from mmedpo.errors import DataError
from mmedpo.store.journal import place_image
from mmedpo.store.run_folder import json_line

IMAGES = "images"
ROWS = 1000  # of a group of a parquet file
TWO_IMAGES, SEVERAL_IMAGES, MARK, WEIGHT = (
    "two images",
    "several images",
    "mark ",
    "weight",
)  # what a tool may not take up


class PairImages:
    """Hand out the images of pairs, written anew: the pixels that were used, and nothing else that a file held."""

    def __init__(self, folder: Path, kept: bool = True) -> None:
        """Take the folder that the pairs travel in, and whether images go with them or their names alone."""
        self._folder, self._kept = folder, kept

    def write(self, picture: ImageRef) -> str:
        """Return the name of an image below the folder; write it where it is not there yet."""
        name = f"{IMAGES}/{place_image(picture.sha256)}"
        place = self._folder / name
        if self._kept and not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(self._png(picture))
        return name

    def write_all(self, pictures: Sequence[ImageRef]) -> list[str]:
        """Return the names of several images, as `write` does."""
        return [self.write(picture) for picture in pictures]

    def _png(self, picture: ImageRef) -> bytes:
        image = picture.load()
        if hash_pixels(image) != picture.sha256:
            raise DataError(f"{picture.path}: is not the image that the run saw; put that one back, or run again")
        return encode_png(image)


class PairFormat(ABC):
    """A form of preference data."""

    use: ClassVar[str]
    two_images: ClassVar[bool] = True  # whether the sides of a pair may have different images
    several_images: ClassVar[bool] = True  # whether a side may have several
    table: ClassVar[tuple[str, ...]] = ()  # the files that `datasets` loads; none where it cannot
    bare_table: ClassVar[tuple[str, ...]] = ()  # instead, where the images are left out
    tool: ClassVar[str] = ""  # who loads it
    weight_note: ClassVar[str] = ""  # what its tool does with the weights, where it has no place for them
    marks: ClassVar[tuple[str, ...]] = ()  # what it takes for the place of an image or the like, wherever it stands

    @abstractmethod
    def write(self, pairs: Iterable[WeightedPair], folder: Path, *, images: bool = True) -> None:
        """Write the pairs and their images, or the images' names alone, into an empty folder, one at a time."""

    def table_files(self, images: bool) -> tuple[str, ...]:
        """Return the files that `datasets` loads, where images are written and where they are not."""
        return self.table if images else self.bare_table or self.table

    def find_losses(self, item: WeightedPair) -> Iterator[str]:
        """Yield what the form's tool does not take up of a pair, by the words that `describe_losses` counts it by."""
        marks = self._marks_in(item.pair)
        if self._shows_too_many(item.pair):
            yield SEVERAL_IMAGES
        elif not self._has_images_for(item.pair):
            yield TWO_IMAGES
        elif marks:
            yield f"{MARK}{marks[0]}"
        if self.weight_note and self.loses_weight(item):
            yield WEIGHT

    def loses_weight(self, item: WeightedPair) -> bool:
        """Tell whether the form's tool, which has no place for the weight, weighs a pair otherwise."""
        return item.weight != 1

    def describe_losses(self, losses: Mapping[str, int], total: int) -> Iterator[str]:
        """Yield what the form's tool does not take up of so many pairs, a sentence each; `losses` are counted."""
        if count := losses.get(TWO_IMAGES):
            left_out = f"{count:,} of {total:,} pairs are left out: their sides differ in the image"
            yield f"{left_out}, and {self.tool} shows both the same"
        if count := losses.get(SEVERAL_IMAGES):
            yield f"{count:,} of {total:,} pairs are left out: they show several images, and {self.tool} shows one"
        marked = {loss.removeprefix(MARK): count for loss, count in losses.items() if loss.startswith(MARK)}
        if marked:
            yield (
                f"{sum(marked.values()):,} of {total:,} pairs are left out: their question or answers hold "
                f"{', '.join(sorted(marked))}, which {self.tool} takes for the place of an image or the like"
            )
        if losses.get(WEIGHT):
            yield self.weight_note

    def accepts(self, pair: Pair) -> bool:
        """Tell whether the form has room for a pair."""
        return self._has_images_for(pair) and not self._marks_in(pair)

    def _has_images_for(self, pair: Pair) -> bool:
        alike = self.two_images or pair.chosen.images == pair.rejected.images
        return alike and not self._shows_too_many(pair)

    def _shows_too_many(self, pair: Pair) -> bool:
        return not self.several_images and bool(pair.chosen.more_images or pair.rejected.more_images)

    def _marks_in(self, pair: Pair) -> list[str]:
        texts = (pair.case.question, pair.chosen.answer, pair.rejected.answer)
        return [mark for mark in self.marks if any(mark in text for text in texts)]


def describe_pair(item: WeightedPair) -> dict[str, Any]:
    """Return what a question, two answers and images do not say of a pair."""
    pair, case = item.pair, item.pair.case
    given = pair.notes.get(GIVEN) if pair.relevance is not None else None
    given = given or {"scorer": item.score.scorer, "evidence": item.score.evidence}
    return {
        "id": case.id,
        "kind": pair.kind,
        "made_by": pair.made_by,
        "number": pair.number,
        "answer": case.answer,
        "case_kind": case.kind,
        "group": case.group,
        "about": list(case.about),
        "restricted": case.restricted,
        "scorer": given.get("scorer", ""),
        "evidence": to_json(given.get("evidence", {})),
        "notes": {key: to_json(value) for key, value in pair.notes.items() if key != GIVEN},
        "case_notes": to_json(case.notes),
    }


def describe_region(region: Region, images: PairImages, ending: str = "") -> dict[str, Any]:
    """Return a region, the names of its mask and heat map under keys with this ending."""
    facts = {"label": region.label, "box": list(region.box), "confidence": region.confidence}
    place = {"image": region.image} if region.image else {}
    heat = {f"heat{ending}": images.write(region.heat)} if region.heat else {}
    return {**facts, **place, f"mask{ending}": region.mask and images.write(region.mask), **heat}


def make_own_columns(item: WeightedPair, images: PairImages) -> dict[str, Any]:
    """Return the three columns of ours."""
    case, more = item.pair.case, describe_pair(item)
    if case.images != item.pair.chosen.images:
        more |= {"images": images.write_all(case.images)} if case.more_images else {"image": images.write(case.image)}
    if case.regions:
        more["regions"] = [describe_region(one, images) for one in case.regions]
    return {"relevance": item.score.relevance, "weight": item.weight, "mmedpo": json_line(more)}


def write_parquet(path: Path, schema: Any, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows as a parquet file with this schema; some at a time are in memory."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rest = iter(rows)
    with pq.ParquetWriter(path, schema) as file:
        while some := list(islice(rest, ROWS)):
            file.write_table(pa.Table.from_pylist(some, schema=schema))
