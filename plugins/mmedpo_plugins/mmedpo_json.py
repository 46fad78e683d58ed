"""Reader of the preference pairs released with MMedPO, and of any file in their form."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal

from mmedpo import (
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
    Row,
    Side,
    answer_kind,
    hookimpl,
    json_rows,
    taught,
)

_SUFFIX = "_dpo_weighted.json"


@hookimpl
def mmedpo_readers() -> list[type[Reader]]:
    return [MmedpoJson]


class MmedpoJson(Reader):
    """Read ready preference pairs with their published scores.

        data: {use: mmedpo-json, root: data/vqa_rad, missing: skip}

    An entry of the file:

        {"id": 7, "image": "synpic1.jpg", "weighted_score": 0.9,
         "conversations":          [{"from": "human", "value": "<image>\\nIs there a mass?"},
                                    {"from": "gpt", "value": " No"}],
         "rejected_conversations": [{"from": "human", "value": "<image>\\nIs there a mass?"},
                                    {"from": "gpt", "value": " Yes, a large one."}]}

    `rejected_image` names the image of the rejected side where it is another one. The score becomes the pair's
    relevance; without one a scorer is asked. Ids are numbers or strings; an id that stands for several entries gets
    `~2`, `~3` ... from its second entry on. An entry whose sides are equal is dropped and counted.
    """

    use: ClassVar[str] = "mmedpo-json"
    yields = "pairs"

    root: ExistingFolder
    """A folder with one `*_dpo_weighted.json` and the images, in `images/` or beside it."""
    file: ExistingFile | None = None
    """The file of pairs, where root has none or several."""
    images: ExistingFolder | None = None
    """The folder of the images, where it is not `root/images`."""
    missing: Literal["error", "skip"] = "error"
    """What to do about images that are not there: stop and name the first, or drop their pairs and count them."""

    def read(self) -> Iterator[Pair | Drop]:
        """Yield the pairs in the order of the file. Raise DataError with line and column for what cannot be read."""
        folders = [self.root / "images", self.root] if self.images is None else [self.images]
        images = ImageFolder(folders, self.missing)
        yield from images.complete(map(partial(self._item, images=images, ids=Ids()), json_rows(self._file())))

    def _file(self) -> Path:
        if self.file is not None:
            return self.file
        found = sorted(self.root.glob(f"*{_SUFFIX}"))
        if len(found) != 1:
            names = ", ".join(path.name for path in found) or "none"
            raise DataError(f"{self.root}: wants one file *{_SUFFIX}, has {names}; name the file with data.file")
        return found[0]

    def _item(self, row: Row, images: ImageFolder, ids: Ids) -> Pair | Drop:
        """Return the pair of an entry, or why it is none."""
        (question, chosen), (asked, rejected) = (
            _turns(row, key) for key in ("conversations", "rejected_conversations")
        )
        if question != asked:
            raise row.wrong("its two conversations ask different questions")
        name, relevance = row.text("image"), row.number("weighted_score", most=1.0)
        rejected_name, named = row.get("rejected_image") or name, row.get("id")
        unique = ids.distinct(named) if named else ids.of(name, rejected_name, question, chosen, rejected)
        image, other = images.find(name, row), images.find(rejected_name, row)
        if image is None or other is None:
            return images.drop(unique)
        if not (chosen and rejected):
            return Drop(unique, "an answer is empty")
        sides = Side(Picture.at(image, row.place), chosen), Side(Picture.at(other, row.place), rejected)
        case = Case(
            unique,
            sides[0].image,
            question,
            chosen,
            kind=answer_kind(chosen),
            group=name,
            restricted=self.restricted,
        )
        kind: Literal["text", "image"] = "text" if image == other else "image"
        return taught(Pair(case, *sides, kind=kind, made_by=self.use, relevance=relevance))


def _turns(row: Row, key: str) -> tuple[str, str]:
    """Return question and answer of a conversation, without the mark of the image."""
    turns = row.values.get(key)
    if not isinstance(turns, list) or len(turns) != 2:
        raise row.wrong(f"{key!r} must be a list of one question and one answer")
    values = [turn.get("value") if isinstance(turn, dict) else None for turn in turns]
    question, answer = (value.replace("<image>", "").strip() if isinstance(value, str) else "" for value in values)
    if not all(isinstance(value, str) for value in values) or not question:
        raise row.wrong(f"{key!r} must hold two texts, and the question must not be empty")
    return question, answer
