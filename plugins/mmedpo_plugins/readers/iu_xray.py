"""The reader of IU X-ray in the form that R2Gen gave it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar, Literal

from mmedpo import Case, DataError, DataGuess, Drop, ExistingFile, ExistingFolder, ImageRef, Reader, hookimpl
from mmedpo.data import ImageFolder, TableRow, UniqueIds, json_value, show_value
from mmedpo_plugins.guesses.released_sets import guess_released
from mmedpo_plugins.studies.questions import QUESTIONS, Questions, draw_question
from mmedpo_plugins.studies.study_list import StudyList


@hookimpl
def mmedpo_readers() -> list[type[Reader]]:
    return [IuXrayReader]


class IuXrayReader(Reader):
    """Read IU X-ray: chest films with reports of Indiana University; anyone may have it (CC BY-NC-ND 4.0).

        data: {use: iu-xray, root: data/iu_xray, split: train, views: first}

    `root` holds R2Gen's `annotation.json` and `images/`. A study has a frontal and often a lateral film, and one report
    on both. Cases of one study are one group. The licence forbids passing on altered films: keep noised images.
    """

    use: ClassVar[str] = "iu-xray"
    public: ClassVar[bool] = True
    license: ClassVar[str] = "cc-by-nc-nd-4.0"

    root: ExistingFolder
    """The folder with `annotation.json` and `images/`."""
    split: Literal["train", "val", "test", "all"] = "train"
    """Which studies, in R2Gen's split."""
    views: Literal["first", "each", "all"] = "first"
    """One case a study with its first film, the frontal one; a case for each of its films with the same report; or one
    case a study with all its films, for a backbone that takes several images."""
    studies: ExistingFile | None = None
    """A file that names the studies to take, of those in the split: an id a line, CSV or JSON; those that are not there
    are counted."""
    question: Questions = QUESTIONS
    """What is asked of every film, or of all films of a study; of a list one question, drawn by the study's id."""
    missing: Literal["error", "skip"] = "error"
    """What to do about images that are not there: stop and name the first, or drop their cases and count them."""
    restricted: bool = False
    """Whether the data must not leave this machine."""

    @classmethod
    def guess(cls, places: Sequence[Path]) -> DataGuess | None:
        """Return how it would read the first of these folders that is in its layout."""
        return guess_released(places, "annotation.json", "images", test={"split": "test"})

    def has_regions(self) -> bool:
        """Tell that the data set has none."""
        return False

    def has_several_images(self) -> bool:
        """Tell whether all views of a study are one case."""
        return self.views == "all"

    def read(self) -> Iterator[Case | Drop]:
        """Yield the films in the order of the file. Raise DataError with the entry that cannot be read."""
        images, studies = ImageFolder([self.root / "images"], self.missing), StudyList(self.studies)
        make = partial(self._make_cases, images=images, ids=UniqueIds())
        rows = (row for row in self._read_rows() if studies.takes(row.get("id")))
        yield from chain.from_iterable(images.complete(map(make, rows)))
        yield from studies.absent(f"the studies of {self.root} in split {self.split}")

    def _read_rows(self) -> Iterator[TableRow]:
        file = self.root / "annotation.json"
        splits = json_value(file)
        for split in ("train", "val", "test") if self.split == "all" else (self.split,):
            entries = splits.get(split) if isinstance(splits, dict) else None
            if not isinstance(entries, list):
                raise DataError(f'{file}: has no list {split!r}; expected {{"train": [...], "val": ..., "test": ...}}')
            for number, entry in enumerate(entries):
                yield TableRow(f"{file}: {split}[{number}]", entry if isinstance(entry, dict) else {})

    def _make_cases(self, row: TableRow, images: ImageFolder, ids: UniqueIds) -> list[Case | Drop]:
        study, names = row.text("id"), _image_names(row)
        if self.views == "each":
            named = [(ids.distinct(f"{study}/{number}"), [name]) for number, name in enumerate(names)]
        else:
            named = [(ids.distinct(study), names if self.views == "all" else names[:1])]
        return [self._make_case(row, name, films, images) for name, films in named]

    def _make_case(self, row: TableRow, name: str, films: Sequence[str], images: ImageFolder) -> Case | Drop:
        found = [path for film in films if (path := images.find(film, row))]
        if len(found) < len(films):
            return images.drop(name)
        first, *more = (ImageRef.at(path, row.place) for path in found)
        return Case(
            name,
            first,
            draw_question(self.question, row.text("id")),
            row.text("report"),
            kind="report",
            group=row.text("id"),
            restricted=self.restricted,
            more_images=tuple(more),
        )


def _image_names(row: TableRow) -> list[str]:
    value: Any = row.values.get("image_path")
    if not isinstance(value, list) or not value or not all(isinstance(name, str) for name in value):
        raise row.wrong(f"'image_path' must be a list of files, not {show_value(value)}")
    return value
