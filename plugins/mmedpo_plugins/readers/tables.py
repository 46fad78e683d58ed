"""Readers of tables: a CSV or JSON Lines file with one question a row, and the images in a folder."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import islice
from typing import ClassVar, Literal

from pydantic import Field

from mmedpo import Case, Drop, ExistingFile, ExistingFolder, ImageRef, Reader, hookimpl
from mmedpo.data import ImageFolder, TableRow, UniqueIds, csv_rows
from mmedpo_plugins.tabular.columns import ColumnReader

LOOKED_AT = 10_000  # rows, to see whether there are boxes


@hookimpl
def mmedpo_readers() -> list[type[Reader]]:
    return [CsvReader, JsonlReader]


class _TableReader(ColumnReader):
    file: ExistingFile
    """The table."""
    images: ExistingFolder | None = None
    """The folder of the images, where it is not the table's own."""
    missing: Literal["error", "skip"] = "error"
    """What to do about images that are not there: stop and name the first, or drop their rows and count them."""

    def read(self) -> Iterator[Case | Drop]:
        """Yield the cases in the order of the file. Raise DataError with the line for what cannot be read."""
        images = ImageFolder([self.images or self.file.parent], self.missing)
        yield from images.complete(map(partial(self._make_case, images=images, ids=UniqueIds()), self.rows()))

    def rows(self) -> Iterator[TableRow]:
        """Yield the rows of the file."""
        raise NotImplementedError

    def has_several_images(self) -> bool | None:
        """Tell whether one of the first rows names several images."""
        return any(len(self.images_of(row)) > 1 for row in islice(self.rows(), LOOKED_AT)) or None

    def _make_case(self, row: TableRow, images: ImageFolder, ids: UniqueIds) -> Case | Drop:
        names = self.image_names(row)
        name = self.row_id(row, ids, names)
        paths = [path for image in names if (path := images.find(image, row))]
        if len(paths) < len(names):
            return images.drop(name)
        return self.case(row, name, [ImageRef.at(path) for path in paths], images)


class CsvReader(_TableReader):
    """Read a CSV table with one question a row.

        data: {use: csv, file: data/questions.csv, columns: {image: film, group: patient}}

    The first line names the columns. Columns that the recipe does not name stay out of the run.
    """

    use: ClassVar[str] = "csv"

    delimiter: str = Field(default=",", min_length=1, max_length=1)
    """What stands between two cells; often ";" where a comma is the decimal sign."""

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

    def rows(self) -> Iterator[TableRow]:
        """Yield the rows of the file."""
        return self.object_rows(self.file)

    def has_regions(self) -> bool | None:
        """Tell whether a row has boxes; of a long file, one of the first rows."""
        rows = self.rows()
        if any(row.values.get(self.columns.boxes) for row in islice(rows, LOOKED_AT)):
            return True
        return None if next(rows, None) else False
