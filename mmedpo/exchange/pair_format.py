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
from mmedpo.core.records import GIVEN, Pair, WeightedPair, to_json
from mmedpo.errors import DataError
from mmedpo.store.run_folder import json_line


class PairImages:
    """Hand out the images of pairs, written anew: the pixels that were used, and nothing else that a file held."""

    def __init__(self, folder: Path) -> None:
        """Take the folder that the pairs travel in."""
        self._folder = folder
        self._last = ("", b"")  # the image made last, by its hash: the pairs of a case stand together

    def write(self, picture: ImageRef) -> str:
        """Return the name of an image below the folder; write it where it is not there yet."""
        name = f"images/{picture.sha256}.png"
        place = self._folder / name
        if not place.exists():
            place.parent.mkdir(exist_ok=True)
            place.write_bytes(self._png(picture))
        return name

    def embed(self, picture: ImageRef) -> dict[str, Any]:
        """Return an image as the Hugging Face libraries hold it within a row."""
        if self._last[0] != picture.sha256:
            self._last = (picture.sha256, self._png(picture))
        return {"bytes": self._last[1], "path": f"{picture.sha256}.png"}

    def _png(self, picture: ImageRef) -> bytes:
        image = picture.load()
        if hash_pixels(image) != picture.sha256:
            raise DataError(f"{picture.path}: is not the image that the run saw; put that one back, or run again")
        return encode_png(image)


class PairFormat(ABC):
    """A form of preference data."""

    use: ClassVar[str]
    two_images: ClassVar[bool] = True  # whether the sides of a pair may have different images
    table: ClassVar[str] = ""  # the file that `datasets` loads; "" where it cannot
    tool: ClassVar[str] = ""  # who loads it
    weight_note: ClassVar[str] = ""  # what its tool does with the weights, where it has no place for them
    marks: ClassVar[tuple[str, ...]] = ()  # what it takes for the place of an image or the like, wherever it stands

    @abstractmethod
    def write(self, pairs: Sequence[WeightedPair], folder: Path) -> None:
        """Write the pairs and their images into an empty folder."""

    def describe_losses(self, pairs: Sequence[WeightedPair]) -> Iterator[str]:
        """Yield what the form's tool does not take up of these pairs, a sentence each."""
        alike = [item for item in pairs if self._has_images_for(item.pair)]
        if count := len(pairs) - len(alike):
            left_out = f"{count:,} of {len(pairs):,} pairs are left out: their sides differ in the image"
            yield f"{left_out}, and {self.tool} shows both the same"
        marked = [mark for item in alike for mark in self._marks_in(item.pair)[:1]]
        if marked:
            named = ", ".join(sorted(set(marked)))
            yield (
                f"{len(marked):,} of {len(pairs):,} pairs are left out: their question or answers hold {named}, "
                f"which {self.tool} takes for the place of an image or the like"
            )
        if self.weight_note and any(item.weight != 1 for item in pairs):
            yield self.weight_note

    def accepts(self, pair: Pair) -> bool:
        """Tell whether the form has room for a pair."""
        return self._has_images_for(pair) and not self._marks_in(pair)

    def _has_images_for(self, pair: Pair) -> bool:
        return self.two_images or pair.chosen.image == pair.rejected.image

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


def make_own_columns(item: WeightedPair, images: PairImages) -> dict[str, Any]:
    """Return the three columns of ours."""
    case, more = item.pair.case, describe_pair(item)
    if case.image != item.pair.chosen.image:
        more["image"] = images.write(case.image)
    if case.regions:
        more["regions"] = [{**to_json(one), "mask": one.mask and images.write(one.mask)} for one in case.regions]
    return {"relevance": item.score.relevance, "weight": item.weight, "mmedpo": json_line(more)}


def write_parquet(path: Path, features: Any, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows as a parquet file that `datasets` loads with these features; a few rows at a time are in memory."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path.parent.mkdir(parents=True)
    schema, rest = features.arrow_schema, iter(rows)
    with pq.ParquetWriter(path, schema) as file:
        while some := list(islice(rest, 64)):
            file.write_table(pa.Table.from_pylist(some, schema=schema))
