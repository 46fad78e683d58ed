"""Which column of a table holds what: by its name, and by what stands in it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmedpo import ColumnGuess
from mmedpo.data import closed_answer
from mmedpo_plugins.guesses.column_words import rate_name
from mmedpo_plugins.guesses.image_places import ImageFiles, ImagePlace

KINDS = {"closed", "open", "report"}
TRAIN = ("train", "training", "trainieren")
TEST = ("test", "testing", "testen")
BETWEEN = ("val", "valid", "validation", "validate", "dev")
YES_NO = {  # what a closed question is answered with elsewhere
    "ja": "yes", "nein": "no", "oui": "yes", "non": "no", "si": "yes", "sí": "yes", "sì": "yes", "sim": "yes",
    "não": "no", "nao": "no", "nee": "no", "tak": "yes", "nie": "no", "да": "yes", "нет": "no", "是": "yes", "否": "no",
}  # fmt: skip
REPORT = 8  # words of an answer, on average: more are a report

Cells = Mapping[str, Sequence[Any]]  # of each column what stands in it, those without anything left out


@dataclass(frozen=True)
class TableGuess:
    """What the columns of a table are taken for."""

    columns: dict[str, str]  # by role
    place: ImagePlace | None  # of the images; None where they lie within the rows, or nowhere
    guesses: tuple[ColumnGuess, ...]
    unread: tuple[str, ...]
    options: dict[str, Any]  # of the reader, beside its columns

    @property
    def lacks(self) -> list[str]:
        """Return the roles that no column could be found for."""
        return [role for role in ("image", "answer") if role not in self.columns]


def guess_columns(cells: Cells, rows: int, files: ImageFiles) -> TableGuess:
    """Take the columns of a table for what they most likely are."""
    taken: dict[str, str] = {}
    image, place = _find_images(cells, files)
    if image:
        taken["image"] = image
    fits: dict[str, Callable[[Sequence[Any]], bool]] = {
        "boxes": _are_boxes,
        "split": _are_sides,
        "kind": lambda values: {str(value).strip().lower() for value in values} <= KINDS,
        "group": lambda values: True,
        "question": _are_texts,
        "answer": _are_texts,
        "id": lambda values: len(set(map(str, values))) == len(values) == rows,
    }
    for role, fit in fits.items():
        free = {name: values for name, values in cells.items() if name not in taken.values() and values}
        rated = {name: rate_name(role, name) for name, values in free.items() if fit(values)}
        best = max(rated, key=rated.__getitem__, default="")
        if best and rated[best] > 0:
            taken[role] = best
        elif role == "question" and (asking := [name for name in rated if _are_questions(free[name])]):
            taken[role] = asking[0]
        elif role == "answer" and len(rated) == 1:
            taken[role] = best
    options = _guess_options(taken, cells)
    guesses = tuple(_tell(role, column, cells[column], rows) for role, column in taken.items())
    return TableGuess(taken, place, guesses, tuple(name for name in cells if name not in taken.values()), options)


def _find_images(cells: Cells, files: ImageFiles) -> tuple[str, ImagePlace | None]:
    """Return the column that names images, and where they are; or one that holds them."""
    placed = {name: files.place([one for value in values for one in _names(value)]) for name, values in cells.items()}
    there = {name: place for name, place in placed.items() if place}
    if there:
        best = max(there, key=lambda name: (there[name].share, rate_name("image", name)))
        return best, there[best]
    holding = [name for name, values in cells.items() if values and all(map(_holds_image, values[:20]))]
    return (holding[0], None) if holding else ("", None)


def _names(value: Any) -> list[str]:
    """Return the names in a cell: one, or those of a list."""
    if isinstance(value, str) and value.strip().startswith("["):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return []
    values = value if isinstance(value, list) else [value]
    return [str(one).strip() for one in values if isinstance(one, str | int)]


def _holds_image(value: Any) -> bool:
    return isinstance(value, bytes) or (isinstance(value, Mapping) and bool(value.get("bytes") or value.get("path")))


def _are_texts(values: Sequence[Any]) -> bool:
    return all(isinstance(value, str) for value in values[:50]) and any(char.isalpha() for char in "".join(values[:50]))


def _are_questions(values: Sequence[Any]) -> bool:
    return 2 * sum(str(value).rstrip().endswith(("?", "？")) for value in values) > len(values)


def _are_boxes(values: Sequence[Any]) -> bool:
    try:
        lists = [json.loads(value) if isinstance(value, str) else value for value in values[:50]]
    except (ValueError, RecursionError):
        return False
    return all(isinstance(one, list) and all(isinstance(box, Mapping) and "box" in box for box in one) for one in lists)


def _are_sides(values: Sequence[Any]) -> bool:
    words = {str(value).strip().lower() for value in values}
    return bool(words & {*TRAIN}) and bool(words & {*TEST}) and words <= {*TRAIN, *TEST, *BETWEEN}


def _guess_options(taken: Mapping[str, str], cells: Cells) -> dict[str, Any]:
    """Return what a reader must be told beside the columns: a question where there is none, words for yes and no."""
    answers = [str(value).strip() for value in cells[taken["answer"]]] if "answer" in taken else []
    words = {answer.casefold() for answer in answers}
    found: dict[str, Any] = {}
    if "question" not in taken and answers:
        reports = sum(len(answer.split()) for answer in answers) > REPORT * len(answers)
        asked = "Describe the findings of this image." if reports else "What does this image show?"
        found |= {"question": asked, "kind": "report"} if reports else {"question": asked}
    said = {word: YES_NO[word] for word in sorted(words) if word in YES_NO}
    meant = {*said.values(), *filter(None, map(closed_answer, words))}
    if said and "yes" not in words and meant == {"yes", "no"}:
        found["answers"] = said
    if "split" in taken:
        sides = sorted({str(value).strip() for value in cells[taken["split"]]})
        train, test = ([word for word in sides if word.lower() in known] for known in (TRAIN, TEST))
        found["split"] = {"column": taken["split"], "train": train, "test": test}
    return found


def _tell(role: str, column: str, values: Sequence[Any], rows: int) -> ColumnGuess:
    shown = dict.fromkeys(_show(value) for value in values)
    return ColumnGuess(role, column, len(values), rows, tuple(list(shown)[:2]))


def _show(value: Any) -> str:
    if _holds_image(value):
        return "an image"
    text = " ".join(str(value).split())
    return text if len(text) <= 40 else text[:37] + "..."
