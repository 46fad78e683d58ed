"""Reader of the preference pairs released with MMedPO, and of any file in their form."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, ClassVar, Literal

from mmedpo import Case, DataError, Drop, Pair, Picture, Reader, Side, hookimpl

_SUFFIX = "_dpo_weighted.json"
_SPACE = re.compile(r"[ \t\r\n]*")


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

    root: Path
    """A folder with one `*_dpo_weighted.json` and the images, in `images/` or beside it."""
    file: Path | None = None
    """The file of pairs, where root has none or several."""
    images: Path | None = None
    """The folder of the images, where it is not `root/images`."""
    missing: Literal["error", "skip"] = "error"
    """What to do about images that are not there: stop and name the first, or drop their pairs and count them."""

    def read(self) -> Iterator[Pair | Drop]:
        """Yield the pairs in the order of the file. Raise DataError with line and column for what cannot be read."""
        folders = self._image_folders()
        entries = list(_entries(self._file(), folders))
        if self.missing == "error":
            _require_images(entries, folders)
        for entry in entries:
            yield entry.result(self.restricted)

    def _file(self) -> Path:
        if self.file is not None:
            return self.file
        if not self.root.is_dir():
            raise DataError(f"{self.root}: there is no such folder; data.root is the folder of the released pairs")
        found = sorted(self.root.glob(f"*{_SUFFIX}"))
        if len(found) != 1:
            names = ", ".join(path.name for path in found) or "none"
            raise DataError(f"{self.root}: wants one file *{_SUFFIX}, has {names}; name the file with data.file")
        return found[0]

    def _image_folders(self) -> list[Path]:
        if self.images is None:
            return [self.root / "images", self.root]
        if not self.images.is_dir():
            raise DataError(f"{self.images}: there is no such folder; data.images is the folder of the images")
        return [self.images]


@dataclass(frozen=True)
class _Entry:
    """One entry of the file, checked, its images looked for."""

    id: str
    names: tuple[str, str]  # of the images of both sides, as the file has them
    images: tuple[Path | None, Path | None]  # None: not there
    question: str
    answers: tuple[str, str]
    relevance: float | None

    def result(self, restricted: bool) -> Pair | Drop:
        """Return the pair, or why it is none."""
        (image, other), (chosen, rejected) = self.images, self.answers
        if image is None or other is None:
            return Drop(self.id, "the image is missing")
        if not (chosen and rejected):
            return Drop(self.id, "an answer is empty")
        if image == other and chosen == rejected:
            return Drop(self.id, "both sides are the same")
        sides = Side(Picture.at(image), chosen), Side(Picture.at(other), rejected)
        closed = chosen.rstrip(".").casefold() in ("yes", "no")
        case = Case(
            self.id,
            sides[0].image,
            self.question,
            chosen,
            kind="closed" if closed else "open",
            group=self.names[0],
            restricted=restricted,
        )
        kind: Literal["text", "image"] = "text" if image == other else "image"
        return Pair(case, *sides, kind=kind, made_by=MmedpoJson.use, relevance=self.relevance)


def _entries(file: Path, folders: list[Path]) -> Iterator[_Entry]:
    text = _text(file)
    uses: Counter[str] = Counter()
    taken: set[str] = set()
    for number, (offset, value) in enumerate(_items(file, text)):
        try:
            entry = _entry(value, number, folders)
        except _Wrong as wrong:
            raise DataError(f"{_place(file, text, offset)}: entry {number}: {wrong}") from None
        unique = entry.id
        while unique in taken:
            uses[entry.id] += 1
            unique = f"{entry.id}~{uses[entry.id] + 1}"
        taken.add(unique)
        yield replace(entry, id=unique)


class _Wrong(Exception):
    """What is wrong with an entry."""


def _entry(value: Any, number: int, folders: list[Path]) -> _Entry:
    if not isinstance(value, dict):
        raise _Wrong(f"is no object but {_shown(value)}")
    (question, chosen), (asked, rejected) = (_turns(value, key) for key in ("conversations", "rejected_conversations"))
    if question != asked:
        raise _Wrong("its two conversations ask different questions")
    name = _string(value, "image")
    names = name, _string(value, "rejected_image") if value.get("rejected_image") is not None else name
    images = _find(names[0], folders), _find(names[1], folders)
    return _Entry(_id(value, number), names, images, question, (chosen, rejected), _score(value))


def _turns(entry: dict[str, Any], key: str) -> tuple[str, str]:
    """Return question and answer of a conversation, without the mark of the image."""
    turns = entry.get(key)
    if not isinstance(turns, list) or len(turns) != 2:
        raise _Wrong(f"{key!r} must be a list of one question and one answer")
    values = [turn.get("value") if isinstance(turn, dict) else None for turn in turns]
    question, answer = (value.replace("<image>", "").strip() if isinstance(value, str) else "" for value in values)
    if not all(isinstance(value, str) for value in values) or not question:
        raise _Wrong(f"{key!r} must hold two texts, and the question must not be empty")
    return question, answer


def _string(entry: dict[str, Any], key: str) -> str:
    value = entry.get(key)
    if not isinstance(value, str) or not value:
        raise _Wrong(f"{key!r} must be a text, not {_shown(value)}")
    return value


def _id(entry: dict[str, Any], number: int) -> str:
    value = entry.get("id", number)
    if isinstance(value, bool) or not isinstance(value, int | float | str) or value == "":
        raise _Wrong(f"'id' must be a number or a text, not {_shown(value)}")
    return str(value)


def _score(entry: dict[str, Any]) -> float | None:
    value = entry.get("weighted_score")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise _Wrong(f"'weighted_score' must be a number from 0 to 1, not {_shown(value)}")
    return float(value)


def _shown(value: Any) -> str:
    return "missing" if value is None else json.dumps(value, ensure_ascii=False)[:60]


def _find(name: str, folders: list[Path]) -> Path | None:
    """Return where an image is. Raises when its path would leave the folder."""
    for flavour in (PurePosixPath(name), PureWindowsPath(name)):
        if flavour.is_absolute() or flavour.drive or ".." in flavour.parts:
            raise _Wrong(f"the image {name!r} is outside the folder of the images")
    return next((folder / name for folder in folders if (folder / name).is_file()), None)


def _require_images(entries: list[_Entry], folders: list[Path]) -> None:
    sides = [side for entry in entries for side in zip(entry.names, entry.images, strict=True)]
    absent = list(dict.fromkeys(name for name, image in sides if image is None))
    if absent:
        first, rest = absent[:3], len(absent) - 3
        names = ", ".join(first) + (f" and {rest} more" if rest > 0 else "")
        places = " or ".join(map(str, folders))
        raise DataError(f"{places}: no image {names}; put them there, or leave their pairs out with data.missing=skip")


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DataError(f"{file}: there is no such file") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: byte {error.start} is not UTF-8") from None
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror})") from None


def _items(file: Path, text: str) -> Iterator[tuple[int, Any]]:
    """Yield the values of a JSON list with their offsets, which `json.loads` does not tell."""
    decoder, end = json.JSONDecoder(), _skip(text, 0)
    if text[end : end + 1] != "[":
        raise DataError(f"{_place(file, text, end)}: expected a list of pairs, [{{...}}, ...]")
    separator, end = "[", _skip(text, end + 1)
    if text[end : end + 1] == "]":
        separator, end = "]", _skip(text, end + 1)
    while separator != "]":
        start = end
        try:
            value, end = decoder.raw_decode(text, start)
        except json.JSONDecodeError as error:
            raise DataError(f"{file}:{error.lineno}:{error.colno}: broken JSON: {error.msg}") from None
        yield start, value
        end = _skip(text, end)
        separator = text[end : end + 1]
        if separator not in (",", "]"):
            raise DataError(f"{_place(file, text, end)}: broken JSON: expected ',' or ']'")
        end = _skip(text, end + 1)
    if end < len(text):
        raise DataError(f"{_place(file, text, end)}: broken JSON: there is text after the list")


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _place(file: Path, text: str, offset: int) -> str:
    line = text.count("\n", 0, offset) + 1
    return f"{file}:{line}:{offset - text.rfind(chr(10), 0, offset)}"
