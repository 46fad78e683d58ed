"""Readers of tables: a CSV, JSON Lines or parquet file with one question a row, and the images in a folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import Field

from mmedpo import Case, DataGuess, Drop, ExistingFile, ExistingFolder, Reader, Remark, hookimpl
from mmedpo.data import CaseSplit, ImageFolder, SplitSides, TableRow, UniqueIds, csv_rows, jsonl_rows
from mmedpo_plugins.guesses.table_guesses import csv_table, guess_table
from mmedpo_plugins.tabular.columns import ColumnReader
from mmedpo_plugins.tabular.parquet import parquet_columns, parquet_rows
from mmedpo_plugins.tabular.pictures import read_image

LOOKED_AT = 10_000  # rows, to see whether there are boxes


@hookimpl
def mmedpo_readers() -> list[type[Reader]]:
    return [CsvReader, JsonlReader, ParquetReader]


class _TableReader(ColumnReader):
    file: ExistingFile
    """The table."""
    images: ExistingFolder | None = None
    """The folder of the images, where it is not the table's own."""
    ending: str = ""
    """What every image's name ends in, where the table leaves it out: `.png`."""
    missing: Literal["error", "skip"] = "error"
    """What to do about images that are not there: stop and name the first, or drop their rows and count them."""

    split: CaseSplit | None = None
    """Which cases are to be measured on and not read here: `{test: 0.3, by: group}`; `evaluate:` then takes these."""

    def read(self) -> Iterator[Case | Drop | Remark]:
        """Yield the cases in the order of the file. Raise DataError with the line for what cannot be read."""
        images = ImageFolder([self.images or self.file.parent], self.missing)
        sides = SplitSides(self.split) if self.split else None
        make = partial(self._make_case, images=images, ids=UniqueIds(), sides=sides)
        cases = images.complete(map(make, self.rows()))
        yield from sides.told(cases) if sides else cases

    def rows(self) -> Iterator[TableRow]:
        """Yield the rows of the file."""
        raise NotImplementedError

    def has_several_images(self) -> bool | None:
        """Tell whether one of the first rows names several images."""
        return any(len(self.images_of(row)) > 1 for row in islice(self.rows(), LOOKED_AT)) or None

    def held_out(self) -> Self | None:
        """Return the reader of the other side of its split."""
        return self.model_copy(update={"split": self.split.other_side()}) if self.split else None

    def held_images(self, row: TableRow, images: ImageFolder) -> Sequence[str | bytes]:
        """Return the images of a row: the names of their files, or what they are."""
        return [f"{name}{self.ending}" for name in self.image_names(row)]

    def _make_case(self, row: TableRow, images: ImageFolder, ids: UniqueIds, sides: SplitSides | None) -> Case | Drop:
        return self.make_case(row, self.held_images(row, images), images, ids, sides)


class CsvReader(_TableReader):
    """Read a CSV table with one question a row.

        data: {use: csv, file: data/questions.csv, columns: {image: film, group: patient}}

    The first line names the columns. Columns that the recipe does not name stay out of the run.
    """

    use: ClassVar[str] = "csv"

    delimiter: str = Field(default=",", min_length=1, max_length=1)
    """What stands between two cells; often ";" where a comma is the decimal sign."""

    @classmethod
    def guess(cls, places: Sequence[Path]) -> DataGuess | None:
        """Return how it would read a table among these places."""
        return guess_table(places, (".csv", ".csv.gz", ".tsv"), csv_table)

    def rows(self) -> Iterator[TableRow]:
        """Yield the rows of the file."""
        return csv_rows(self.file, self.delimiter, self.require_columns)

    def has_regions(self) -> bool | None:
        """Tell whether there is a column of boxes; its cells may be empty."""
        first = next(csv_rows(self.file, self.delimiter), None)
        return None if first is None or self.columns.boxes in first.values else False


class JsonlReader(_TableReader):
    """Read a JSON Lines file with one question a line.

        data: {use: jsonl, file: data/questions.jsonl, images: data/films}

    A line:

        {"image": "7.png", "question": "Is there a nodule?", "answer": "Yes", "about": ["nodule"],
         "boxes": [{"label": "nodule", "box": [40, 60, 90, 110]}]}

    A question about several images names them all: {"image": ["7_frontal.png", "7_lateral.png"], ...}.
    """

    use: ClassVar[str] = "jsonl"

    @classmethod
    def guess(cls, places: Sequence[Path]) -> DataGuess | None:
        """Return how it would read a table among these places."""
        return guess_table(places, (".jsonl", ".jsonl.gz"), lambda file: ({"file": file}, jsonl_rows(file)))

    def rows(self) -> Iterator[TableRow]:
        """Yield the rows of the file."""
        return self.object_rows(self.file)

    def has_regions(self) -> bool | None:
        """Tell whether a row has boxes; of a long file, one of the first rows."""
        rows = self.rows()
        if any(row.values.get(self.columns.boxes) for row in islice(rows, LOOKED_AT)):
            return True
        return None if next(rows, None) else False


class ParquetReader(_TableReader):
    """Read a parquet file with one question a row.

        data: {use: parquet, file: data/train-00000-of-00001.parquet, columns: {answer: finding}}

    An image lies within its row, as the Hugging Face libraries write it, or is named there as a file.
    """

    use: ClassVar[str] = "parquet"

    @classmethod
    def guess(cls, places: Sequence[Path]) -> DataGuess | None:
        """Return how it would read a table among these places."""
        return guess_table(places, (".parquet",), lambda file: ({"file": file}, parquet_rows(file)))

    def rows(self) -> Iterator[TableRow]:
        """Yield the rows of the file."""
        self.require_columns(parquet_columns(self.file), str(self.file))
        return parquet_rows(self.file)

    def held_images(self, row: TableRow, images: ImageFolder) -> Sequence[str | bytes]:
        """Return the images of a row: the names of their files, or what they are."""
        return [read_image(row, self.columns.image, value, images) for value in self.images_of(row)]

    def has_regions(self) -> bool | None:
        """Tell whether there is a column of boxes; it may be empty."""
        return None if self.columns.boxes in parquet_columns(self.file) else False
