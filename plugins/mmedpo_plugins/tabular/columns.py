"""What the readers of tables share: which column holds what, and a case made of a row."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from mmedpo import Case, DataError, Drop, ImageRef, Reader, Region
from mmedpo.data import ImageFolder, SplitSides, TableRow, UniqueIds, answer_kind, is_number, jsonl_rows, show_value
from mmedpo_plugins.tabular.pictures import find_picture

Kind = Literal["closed", "open", "report"]
_TRUTHS = {"": False, "true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


class ColumnNames(BaseModel):
    """Which column holds what. By default each is called what it is; only image, question and answer must be there.

    `null` is no column: `columns: {kind: null}` reads no kind from a column that is called so.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    image: str = "image"
    """The image's file, relative to the folder of the images; of several images a list of files (in CSV: JSON), in the
    order in which the model is shown them."""
    question: str = "question"
    """The question; not needed where the reader's own `question` is asked of every image."""
    answer: str = "answer"
    """The clinician's answer, or the report."""
    id: str = "id"
    """What names the row; else its image, question and answer do, so that it keeps its id when rows are added."""
    kind: str = "kind"
    """closed, open or report; else an answer yes or no makes a closed question, any other an open one."""
    group: str = "group"
    """What belongs together when images are held out or resampled: the patient; else the image."""
    about: str = "about"
    """The labels of the boxes that the question is about: a list, or a text with `;` between them."""
    boxes: str = "boxes"
    """A list (in CSV: JSON) of {"label": "nodule", "box": [left, top, right, bottom], "confidence": 0.9}, of several
    images also "image": 1 for the second."""
    restricted: str = "restricted"
    """true or false; counts where the reader itself says `restricted: false`."""

    @field_validator("id", "kind", "group", "about", "boxes", "restricted", mode="before")
    @classmethod
    def _none_is_no_column(cls, name: str | None) -> str:
        return "" if name is None else name


class ColumnReader(Reader):
    """A reader whose rows have columns that the recipe names."""

    columns: ColumnNames = ColumnNames()
    """Which column holds what, where it is not called so: `columns: {image: film, group: patient}`."""
    question: str = ""
    """The question of every row, in place of a column: of a table of reports, for one."""
    kind: Kind | None = None
    """The kind of every question, in place of a column."""
    box_form: Literal["corners", "size"] = "corners"
    """Whether a box is [left, top, right, bottom] or, as in COCO, [left, top, width, height], in pixels."""
    answers: Mapping[str, str] = Field(default_factory=dict)
    """What to read in place of an answer, in any case: `{ja: yes, nein: no}` of a table in German."""
    notes: tuple[str, ...] = ()
    """Further columns to keep beside each case; all others are not read into the run."""

    @model_validator(mode="after")
    def _require_one_question(self) -> Self:
        if self.question and self.columns.question != ColumnNames().question:
            raise ValueError("`question` is asked of every row, so `columns.question` would not be read; leave one out")
        return self

    def require_columns(self, names: Collection[str], where: str) -> None:
        """Raise DataError when a column that the recipe names is not among these."""
        told = [name for field in self.columns.model_fields_set if (name := getattr(self.columns, field))]
        asked = [] if self.question else [self.columns.question]
        for name in [*told, *self.notes, self.columns.image, *asked, self.columns.answer]:
            if name not in names:
                raise DataError(f"{where}: has no column {name!r}; there are: {', '.join(sorted(names))}")

    def object_rows(self, file: Path) -> Iterator[TableRow]:
        """Return the rows of a JSON Lines file; a column that the recipe names must be in one of them."""
        names: set[str] = set()

        def noted(row: TableRow) -> TableRow:
            names.update(row.values)
            return row

        def required() -> Iterator[TableRow]:
            if names:
                self.require_columns(names, str(file))
            yield from ()

        return chain(map(noted, jsonl_rows(file)), required())

    def images_of(self, row: TableRow) -> list[Any]:
        """Return what a row's column of images holds: one, or what is in its list. Raises DataError for an empty list.

        A text in brackets is a list where it is one in JSON, else a name.
        """
        value = row.values.get(self.columns.image)
        if isinstance(value, str) and value.strip().startswith("["):
            with suppress(DataError):
                value = row.json(self.columns.image)
        if isinstance(value, list) and not value:
            raise row.wrong(f"{self.columns.image!r} is an empty list; a case has an image")
        return value if isinstance(value, list) else [value]

    def image_names(self, row: TableRow) -> list[str]:
        """Return the files that a row's column of images names. Raises DataError for what is no name."""
        column, values = self.columns.image, self.images_of(row)
        if values == [row.values.get(column)]:
            return [row.text(column)]
        if not all(isinstance(value, str) and value.strip() for value in values):
            raise row.wrong(f"{column!r} must be a file or a list of files, not {show_value(values)}")
        return [value.strip() for value in values]

    def row_id(self, row: TableRow, ids: UniqueIds, images: Sequence[str | bytes]) -> str:
        """Return the id that a row has, else one made of its images, question and answer."""
        told = row.get(self.columns.id)
        if told:
            return ids.require_new(told, row)
        return ids.of(*images, self.question or row.text(self.columns.question), self.answer_of(row))

    def answer_of(self, row: TableRow) -> str:
        """Return the answer of a row, or what stands for it. Raises DataError where there is none."""
        told = row.text(self.columns.answer)
        return self._read_as.get(told.casefold(), told) if self.answers else told

    @cached_property
    def _read_as(self) -> dict[str, str]:
        return {written.casefold(): meant for written, meant in self.answers.items()}

    def make_case(
        self, row: TableRow, held: Sequence[str | bytes], images: ImageFolder, ids: UniqueIds, sides: SplitSides | None
    ) -> Case | Drop:
        """Make a case of a row and its images, named or held; a drop where it is on the other side, or one is missing.

        Its id is taken on either side, so that a case has one id wherever it is.
        """
        name = self.row_id(row, ids, held)
        if sides and (why := sides.leaves(row, name, row.get(self.columns.group), held)):
            return Drop(name, why)
        pictures = [picture for image in held if (picture := find_picture(row, image, images))]
        return self.case(row, name, pictures, images) if len(pictures) == len(held) else images.drop(name)

    def case(self, row: TableRow, name: str, pictures: Sequence[ImageRef], images: ImageFolder | None = None) -> Case:
        """Make a case of a row. Raises DataError with the row's place; masks are looked for in `images`."""
        columns = self.columns
        answer = self.answer_of(row)
        first, *more = (replace(picture, place=row.place) for picture in pictures)
        boxes = _read_list(row, columns.boxes)
        return Case(
            name,
            first,
            self.question or row.text(columns.question),
            answer,
            kind=self._read_kind(row, answer),
            group=row.get(columns.group),
            about=_read_labels(row, columns.about),
            regions=tuple(self._make_region(row, value, images, len(pictures)) for value in boxes),
            restricted=_read_truth(row, columns.restricted) or self.restricted,
            notes={key: value for key in self.notes if (value := row.kept(key)) not in (None, "")},
            more_images=tuple(more),
        )

    def _read_kind(self, row: TableRow, answer: str) -> Kind:
        told = row.get(self.columns.kind).lower() or self.kind or answer_kind(answer)
        for kind in get_args(Kind):
            if told == kind:
                return kind
        raise row.wrong(f"{self.columns.kind!r} must be closed, open or report, not {show_value(told)}")

    def _make_region(self, row: TableRow, value: Any, images: ImageFolder | None, count: int) -> Region:
        if not isinstance(value, Mapping):
            raise row.wrong(f'a box must be {{"label": ..., "box": [...]}}, not {show_value(value)}')
        inner = row.inner(f"box {show_value(value.get('label'))}", value)
        confidence = value.get("confidence", 1.0)
        if not is_number(confidence) or not 0 <= confidence <= 1:
            raise inner.wrong(f"'confidence' must be a number from 0 to 1, not {show_value(confidence)}")
        mask = inner.get("mask")
        path = images.find(mask, inner) if mask and images else None
        if mask and not path:
            raise inner.wrong(f"there is no mask {mask!r} among the images")
        at = value.get("image", 0)
        if type(at) is not int or not 0 <= at < count:
            raise inner.wrong(f"'image' must be a number from 0 to {count - 1}, not {show_value(at)}")
        box = read_box(inner, value.get("box"), self.box_form)
        return Region(inner.get("label"), box, float(confidence), ImageRef.at(path, row.place) if path else None, at)


def read_box(row: TableRow, value: Any, form: Literal["corners", "size"]) -> tuple[float, float, float, float]:
    """Return left, top, right, bottom. Raises DataError when it is no box or an empty one."""
    numbers = value if isinstance(value, list | tuple) and len(value) == 4 else []
    if not numbers or not all(map(is_number, numbers)):
        raise row.wrong(f"a box must be four numbers, not {show_value(value)}")
    left, top, right, bottom = map(float, numbers)
    if form == "size":
        right, bottom = left + right, top + bottom
    if not (left < right and top < bottom):
        raise row.wrong(f"the box {show_value(value)} is empty; is it [left, top, width, height]? see data.box_form")
    return left, top, right, bottom


def _read_list(row: TableRow, key: str) -> list[Any]:
    """Return a cell's list, written as JSON where the file has only texts."""
    value = row.json(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise row.wrong(f"{key!r} must be a list, not {show_value(value)}")
    return value


def _read_labels(row: TableRow, key: str) -> tuple[str, ...]:
    value = row.values.get(key)
    labels = value if isinstance(value, list) else row.get(key).split(";")
    if not all(isinstance(label, str) for label in labels):
        raise row.wrong(f"{key!r} must be labels, not {show_value(value)}")
    return tuple(label.strip() for label in labels if label.strip())


def _read_truth(row: TableRow, key: str) -> bool:
    value = row.values.get(key)
    if isinstance(value, bool):
        return value
    told = row.get(key).lower()
    if told not in _TRUTHS:
        raise row.wrong(f"{key!r} must be true or false, not {show_value(value)}")
    return _TRUTHS[told]
