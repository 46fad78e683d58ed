"""The reader of a folder of DICOM films with questions in a table or beside each film."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import Field, PositiveFloat

from mmedpo import (
    Case,
    DataError,
    DataGuess,
    Drop,
    ExistingFile,
    ExistingFolder,
    ImageRef,
    Reader,
    Remark,
    digest,
    hookimpl,
)
from mmedpo.data import CaseSplit, ImageFolder, SplitSides, TableRow, collect_rows, csv_rows, json_value
from mmedpo_plugins.dicom.film import ENDINGS, film_ref
from mmedpo_plugins.dicom.header import DicomFilm, read_header
from mmedpo_plugins.guesses.film_guesses import guess_films
from mmedpo_plugins.guesses.image_places import ImageFiles
from mmedpo_plugins.tabular.columns import ColumnReader


@hookimpl
def mmedpo_readers() -> list[type[Reader]]:
    return [DicomReader]


class DicomReader(ColumnReader):
    """Read DICOM films: pixels, and questions from a table or from a file beside each film.

        data: {use: dicom, root: data/pacs, table: data/pacs/questions.csv, columns: {image: file}}

    Without a table, `film.json` beside `film.dcm` holds {"question": ..., "answer": ...} or a list of them. Grey films
    are rescaled and windowed to 8 bits; MONOCHROME1 is inverted. Of the header, only modality, body part and view go
    into the run: ids derive from the file's content, the films of one patient are one group under such an id, and no
    file name, name, number, date or UID is kept. Overlays are not drawn. Files of several frames are refused.
    """

    use: ClassVar[str] = "dicom"

    root: ExistingFolder
    """The folder of the films, however deep."""
    table: ExistingFile | None = None
    """A .csv or .jsonl table whose column of images names the films; else each film has its .json beside it."""
    delimiter: str = Field(default=",", min_length=1, max_length=1)
    """What stands between two cells of a CSV table."""
    window: Literal["stored", "full"] | tuple[float, PositiveFloat] = "stored"
    """The file's first valid window (else the full range), the full range, or [centre, width]."""
    burnt_in: Literal["error", "skip"] = "error"
    """What to do about a film whose header says that text is burnt into it: stop, or drop and count it."""
    missing: Literal["error", "skip"] = "error"
    """What to do about films that are not there: stop and name the first, or drop their rows and count them."""

    split: CaseSplit | None = None
    """Which cases are to be measured on and not read here: `{test: 0.3, by: group}`; `evaluate:` then takes these."""

    @classmethod
    def guess(cls, places: Sequence[Path]) -> DataGuess | None:
        """Return how it would read the films below the first of these folders that has any."""
        root = next((place for place in places if place.is_dir() and ImageFiles([place], ENDINGS).paths), None)
        return guess_films(places, root, ImageFiles([root], ENDINGS)) if root else None

    def held_out(self) -> Self | None:
        """Return the reader of the other side of its split."""
        return self.model_copy(update={"split": self.split.other_side()}) if self.split else None

    def lacking(self) -> Iterator[str]:
        """Yield the package that reads films, where it is not installed."""
        if find_spec("pydicom") is None:
            yield 'DICOM files are read by pydicom: pip install "mmedpo[dicom]"'

    def read(self) -> Iterator[Case | Drop | Remark]:
        """Yield the cases in the order of the table. Raise DataError for rows and films that cannot be read."""
        images = ImageFolder([self.root], self.missing)
        found = collect_rows(map(partial(self._find_films, images), self._read_rows()))
        films = {path: read_header(path) for path in dict.fromkeys(path for _, paths in found for path in paths)}
        groups = _patient_groups(list(films.values()))
        uses: Counter[str] = Counter()
        sides = SplitSides(self.split) if self.split else None
        cases = images.complete(
            self._make_case(row, [films[path] for path in paths], groups, uses, sides)
            if paths
            else images.drop(digest(row.place)[:12])  # a run notes who was dropped, and a place names files
            for row, paths in found
        )
        yield from sides.told(cases) if sides else cases

    def _find_films(self, images: ImageFolder, row: TableRow) -> tuple[TableRow, list[Path]]:
        """Return a row with its films; with none where one of them is missing."""
        found = [images.find(name, row) for name in self.image_names(row)]
        return row, [path for path in found if path] if None not in found else []

    def _read_rows(self) -> Iterator[TableRow]:
        if self.table is None:
            return self._rows_beside_films()
        if self.table.suffix not in (".csv", ".jsonl"):
            raise DataError(f"{self.table}: is neither .csv nor .jsonl")
        is_csv = self.table.suffix == ".csv"
        return csv_rows(self.table, self.delimiter, self.require_columns) if is_csv else self.object_rows(self.table)

    def _rows_beside_films(self) -> Iterator[TableRow]:
        """Yield the questions beside the films; a film without any is an error unless missing ones are skipped."""
        films = sorted(path for path in self.root.rglob("*") if path.suffix.lower() in ENDINGS and path.is_file())
        if not films:
            raise DataError(f"{self.root}: holds no *.dcm or *.dicom; name the films in a table with data.table")
        for film in films:
            file = film.with_suffix(".json")
            if file.is_file() or self.missing == "error":
                value = json_value(file)
                for number, entry in enumerate(value if isinstance(value, list) else [value]):
                    place = f"{file}: entry {number}"
                    if not isinstance(entry, dict):
                        raise DataError(f"{place}: is no object with a question and an answer")
                    yield TableRow(place, {**entry, self.columns.image: str(film.relative_to(self.root))})

    def _make_case(
        self,
        row: TableRow,
        films: Sequence[DicomFilm],
        groups: dict[str, str],
        uses: Counter[str],
        sides: SplitSides | None,
    ) -> Case | Drop:
        film, burnt_in = films[0], [one for one in films if one.burnt_in]
        named = self.columns.model_fields_set  # a column called id or group may hold a patient's number
        number = uses[film.content]
        uses[film.content] += 1
        name = row.text(self.columns.id) if "id" in named else f"{film.content}-{number}"
        told = row.text(self.columns.group) if "group" in named else ""
        if sides and (why := sides.leaves(row, name, told or film.patient, [one.content for one in films])):
            return Drop(name, why)
        if burnt_in and self.burnt_in == "skip":
            return Drop(name, "the header says that text is burnt in")
        if burnt_in:
            why = "its header says that text is burnt in; drop such films: data.burnt_in=skip"
            raise DataError(f"{burnt_in[0].path}: {why}")
        group = told or groups.get(film.patient, "")
        case = self.case(row, name, [self.picture(one.path) for one in films])
        views = ", ".join(one.view for one in films if one.view)
        words = {"modality": film.modality, "body_part": film.body_part, "view": views}
        return replace(case, group=group, notes={key: word for key, word in words.items() if word} | dict(case.notes))

    def picture(self, path: Path) -> ImageRef:
        """Name a film; its pixels are read when they are wanted."""
        return film_ref(path, self.window)


def _patient_groups(films: list[DicomFilm]) -> dict[str, str]:
    """Return a name for each patient: the first of the content ids of his films, which no patient's number gives."""
    groups: dict[str, str] = {}
    for film in films:
        if film.patient:
            groups[film.patient] = min(film.content, groups.get(film.patient, film.content))
    return groups
