"""The reader of preference pairs in the forms that training tools load."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from mmedpo import (
    GIVEN,
    Case,
    DataError,
    Drop,
    ExistingFile,
    ExistingFolder,
    Ids,
    ImageFolder,
    Pair,
    Picture,
    Reader,
    Region,
    Row,
    Side,
    answer_kind,
    hookimpl,
    json_rows,
    jsonl_rows,
    taught,
)
from mmedpo_plugins.arrow import embedded, parquet_rows
from mmedpo_plugins.pairs.sides import Sides, sides_of


@hookimpl
def mmedpo_readers() -> list[type[Reader]]:
    return [Pairs]


class Pairs(Reader):
    """Read preference pairs in the forms that TRL, ms-swift, LLaMA-Factory and MMedPO's own code load.

        data: {use: pairs, root: exported}

    The form is told by the columns: prompt, chosen, rejected (TRL); messages with rejected_response, rejected_messages
    or rejected_images (ms-swift); conversations with chosen (LLaMA-Factory) or with rejected_conversations (MMedPO);
    question, chosen, rejected (a plain table). A folder that `mmedpo export` wrote also tells ids, groups, kinds, who
    made and rated each pair, its weight and whether it is restricted; in others a row is a case of its own. Columns
    `relevance` (or `weighted_score`, 0 to 1) and `weight` are the pair's where they are there.
    """

    use: ClassVar[str] = "pairs"
    yields = "pairs"

    root: ExistingFolder
    """The folder with one file of pairs (.parquet, .jsonl or .json, also below `data/`) and the images."""
    file: ExistingFile | None = None
    """The file of pairs, where root has none or several."""
    images: ExistingFolder | None = None
    """The folder that images are named in, where it is neither root nor `root/images`."""
    missing: Literal["error", "skip"] = "error"
    """What to do about images that are not there: stop and name the first, or drop their pairs and count them."""
    restricted: bool = True
    """Whether the data must not leave this machine; with false, pairs that say they are restricted stay so."""

    def read(self) -> Iterator[Pair | Drop]:
        """Yield the pairs in the order of the file. Raise DataError with the place of what cannot be read."""
        folders = [self.root, self.root / "images"] if self.images is None else [self.images]
        reading = _Reading(ImageFolder(folders, self.missing), Ids(), self)
        yield from reading.images.complete(map(reading.item, _rows(self._file())))

    def _file(self) -> Path:
        if self.file is not None:
            return self.file
        places = [folder for folder in (self.root, self.root / "data") if folder.is_dir()]
        found = [path for place in places for path in sorted(place.iterdir()) if path.suffix in _ROWS]
        found = [path for path in found if path.name != "dataset_info.json"]
        if len(found) != 1:
            names = ", ".join(path.name for path in found) or "none"
            raise DataError(f"{self.root}: wants one file of pairs, has {names}; name the file with data.file")
        return found[0]


_ROWS: Mapping[str, Callable[[Path], Iterator[Row]]] = {
    ".parquet": parquet_rows,
    ".jsonl": jsonl_rows,
    ".json": json_rows,
}


def _rows(file: Path) -> Iterator[Row]:
    if file.suffix not in _ROWS:
        raise DataError(f"{file}: is neither .parquet nor .jsonl nor .json")
    return _ROWS[file.suffix](file)


class _Reading:
    """Make pairs of rows, one data set's."""

    def __init__(self, images: ImageFolder, ids: Ids, part: Pairs) -> None:
        self.images, self._ids, self._part = images, ids, part

    def item(self, row: Row) -> Pair | Drop:
        """Return the pair of a row, or why it is none."""
        told = sides_of(row)
        name = told.more.get("id") or self._name(row, told)
        found = [self._picture(row, value) for value in told.images]
        if None in found:
            return self.images.drop(name)
        first, second = (picture for picture in found if picture)
        if not (told.chosen.strip() and told.rejected.strip()):
            return Drop(name, "an answer is empty")
        case = self._case(row, name, told, first)
        if case is None:
            return self.images.drop(name)
        pair = Pair(
            case,
            Side(first, told.chosen),
            Side(first if told.same_image else second, told.rejected),
            kind=told.more.get("kind") or ("text" if told.same_image else "image"),
            made_by=told.more.get("made_by") or self._part.use,
            number=told.more.get("number", 0),
            relevance=row.number(told.relevance, most=1.0),
            notes=_notes(row, told),
        )
        return taught(pair)

    def _name(self, row: Row, told: Sides) -> str:
        """Return the id that a row has, else one made of all that the pair shows and says."""
        if named := row.get("id"):
            return self._ids.distinct(named)
        held = (one.get("bytes") or one.get("path") if isinstance(one, Mapping) else one for one in told.images)
        images = [one for one in held if isinstance(one, str | bytes)]
        return self._ids.of(*images, told.question, told.chosen, told.rejected)

    def _case(self, row: Row, name: str, told: Sides, shown_to_chosen: Picture) -> Case | None:
        more = told.more
        image = self._picture(row, more["image"]) if more.get("image") else shown_to_chosen
        if image is None:
            return None
        answer = more.get("answer") or told.chosen
        return Case(
            name,
            image,
            told.question,
            answer,
            kind=more.get("case_kind") or answer_kind(answer),
            group=more.get("group") or (told.images[0] if isinstance(told.images[0], str) else ""),
            about=tuple(more.get("about") or ()),
            regions=tuple(self._region(row, one) for one in more.get("regions") or ()),
            restricted=bool(more.get("restricted", self._part.restricted)),
            notes=more.get("case_notes") or {},
        )

    def _region(self, row: Row, value: Mapping[str, Any]) -> Region:
        mask = self._picture(row, value["mask"]) if value.get("mask") else None
        return Region(value["label"], tuple(value["box"]), value["confidence"], mask)

    def _picture(self, row: Row, value: Any) -> Picture | None:
        """Return the image that a row holds or names, or None when the file is missing."""
        if isinstance(value, Mapping) and not value.get("bytes"):
            value = value.get("path")
        if not isinstance(value, str):
            return embedded(Row(row.place, {"image": value}), "image")
        path = self.images.find(self._below(value), row)
        return Picture.at(path, row.place) if path else None

    def _below(self, name: str) -> str:
        """Return an absolute name relative to the folder that it is in; ms-swift advises to write such names."""
        for folder in self.images.folders if Path(name).is_absolute() else ():
            if Path(name).is_relative_to(folder.absolute()):
                return str(Path(name).relative_to(folder.absolute()))
        return name


def _notes(row: Row, told: Sides) -> dict[str, Any]:
    """Return how a pair was made, and with it what came with its score."""
    given = {key: told.more[key] for key in ("scorer", "evidence") if told.more.get(key)}
    weight = row.number("weight")
    if weight is not None:
        given["weight"] = weight
    return {**(told.more.get("notes") or {}), **({GIVEN: given} if given else {})}
