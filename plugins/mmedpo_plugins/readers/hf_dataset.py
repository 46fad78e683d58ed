"""The reader of any data set that the Hugging Face library `datasets` can load."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import chain, islice, starmap
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Discriminator, Field, Tag

from mmedpo import Case, DataError, DataGuess, Drop, ExistingFolder, FolderOrHub, Reader, Remark, first_line, hookimpl
from mmedpo.data import CaseSplit, ImageFolder, SplitSides, TableRow, UniqueIds, csv_rows
from mmedpo_plugins.guesses.saved_set_guesses import guess_saved
from mmedpo_plugins.tabular.columns import ColumnReader
from mmedpo_plugins.tabular.parquet import count_together
from mmedpo_plugins.tabular.pictures import read_image
from mmedpo_plugins.tabular.saved_files import require_card_inside, require_inside, require_saved_inside

_SAVED = ("dataset_dict.json", "state.json")  # a folder that `save_to_disk` wrote has one of them
_BESIDE = "metadata.csv"  # lies beside the images that it names; their column is then called "image"


@hookimpl
def mmedpo_readers() -> list[type[Reader]]:
    return [HfDatasetReader]


class HubSplit(CaseSplit):
    """Part one part of a data set in two."""

    of: str = Field(default="train", min_length=1)
    """Which part of the data set."""


class HfDatasetReader(ColumnReader):
    """Read a data set of the Hugging Face library `datasets`.

        data: {use: hf-dataset, path: data/my_set, split: train, columns: {answer: finding}}

    A folder is one that `save_to_disk` wrote, or one with parquet, JSON Lines or CSV files, or images with a
    `metadata.csv`; nothing of it is copied to a cache. Anything else is taken for a name on the Hub and downloaded to
    the library's cache. An image is within its row, or named there as a file below the folder or below `images`.
    """

    use: ClassVar[str] = "hf-dataset"

    path: FolderOrHub
    """A folder, or a name on the Hub."""
    split: Annotated[
        Annotated[str, Field(min_length=1), Tag("name")] | Annotated[HubSplit, Tag("split")],
        Discriminator(lambda value: "name" if isinstance(value, str) else "split"),
    ] = "train"
    """Which part; or `{of: train, test: 0.3}`: a share of its groups is held out, to be measured on."""
    name: str | None = None
    """The configuration, where the set has several."""
    revision: str | None = None
    """The version of a set on the Hub: a tag or commit."""
    images: ExistingFolder | None = None
    """The folder of images that the rows name."""
    missing: Literal["error", "skip"] = "error"
    """What to do about images that are not there: stop and name the first, or drop their rows and count them."""

    @classmethod
    def guess(cls, places: Sequence[Path]) -> DataGuess | None:
        """Return how it would read a data set that `save_to_disk` wrote, or one of several parquet files."""
        saved = [place for place in places if any((place / name).is_file() for name in _SAVED)]
        shards = [place for place in places if len(list(islice(place.glob("**/*.parquet"), 2))) == 2]
        return guess_saved((saved or shards)[0]) if saved or shards else None

    @property
    def _case_split(self) -> HubSplit | None:
        return self.split if isinstance(self.split, HubSplit) else None

    @property
    def _part(self) -> str:
        return self.split.of if isinstance(self.split, HubSplit) else self.split

    def held_out(self) -> Self | None:
        """Return the reader of the other side of its split."""
        split = self._case_split
        return self.model_copy(update={"split": split.other_side()}) if split else None

    def read(self) -> Iterator[Case | Drop | Remark]:
        """Yield the cases in the order of the set. Raise DataError with the row's number for what cannot be read."""
        images = ImageFolder(self._image_roots(), self.missing)
        sides = SplitSides(self._case_split) if self._case_split else None
        make = partial(self._make_case, images=images, ids=UniqueIds(), sides=sides)
        cases = images.complete(map(make, self._read_rows()))
        yield from sides.told(cases) if sides else cases

    def _image_roots(self) -> list[Path]:
        if self.images:
            return [self.images]
        if Path(self.path).is_dir():
            return [Path(self.path)]
        from datasets import config

        cache = Path(config.HF_CACHE_HOME)
        cache.mkdir(parents=True, exist_ok=True)
        return [cache]

    def _read_rows(self) -> Iterator[TableRow]:
        tables = self._table_files()
        return chain.from_iterable(map(self._table_rows, tables)) if tables else self._dataset_rows()

    def _table_files(self) -> list[Path]:
        """Return a folder's CSV and JSON Lines files; the library would make 7 of "007" and nothing of "NA"."""
        found = self._list_files()
        beside = [file for file in found if file.name == _BESIDE]
        return beside or (found if all(file.suffix in (".csv", ".jsonl") for file in found) else [])

    def _list_files(self) -> list[Path]:
        """Return the files of a folder that hold the part; none of one that `save_to_disk` wrote, or of the Hub."""
        import datasets

        folder = Path(self.path)
        if not folder.is_dir() or any((folder / name).is_file() for name in _SAVED):
            return []
        with self._explain_errors():
            require_card_inside(folder)
            files = datasets.load_dataset_builder(self.path, self.name).config.data_files or {}
        require_inside(folder, (str(file) for named in files.values() for file in named))
        return [Path(file) for file in files.get(self._part, ())]

    def _table_rows(self, file: Path) -> Iterator[TableRow]:
        if file.name == _BESIDE:
            rows = csv_rows(file, require=lambda names, place: self.require_columns([*names, "image"], place))
            return map(partial(_resolve_beside, Path(self.path).absolute()), rows)
        return csv_rows(file, require=self.require_columns) if file.suffix == ".csv" else self.object_rows(file)

    def _dataset_rows(self) -> Iterator[TableRow]:
        with self._explain_errors():
            data = self._load()
        if data.column_names:
            self.require_columns(data.column_names, f"{self.path}: {self._part}")
        return starmap(partial(self._make_row, _class_names(data)), enumerate(self._dataset_values(data)))

    def _dataset_values(self, data: Any) -> Iterator[Mapping[str, Any]]:
        with self._explain_errors():
            yield from data

    def _make_row(self, names: Mapping[str, list[str]], number: int, values: Mapping[str, Any]) -> TableRow:
        told = {key: _class_name(names[key], value) if key in names else value for key, value in values.items()}
        return TableRow(f"{self.path}: {self._part}: row {number}", told)

    def _load(self) -> Any:
        import datasets

        folder = Path(self.path)
        if any((folder / name).is_file() for name in _SAVED):
            require_saved_inside(folder)
            data = datasets.load_from_disk(self.path)
            if isinstance(data, datasets.DatasetDict):
                if self._part not in data:
                    raise ValueError(f"there is no split {self._part!r}; there are: {', '.join(data)}")
                data = data[self._part]
        else:
            options: dict[str, Any] = {"split": self._part, "revision": self.revision, "streaming": folder.is_dir()}
            files = self._list_files()
            if files and all(file.suffix == ".parquet" for file in files):
                options["batch_size"] = count_together(files)  # else all rows of a group at once
            data = datasets.load_dataset(self.path, self.name, **options)
        return self._select_columns(data)

    def _select_columns(self, data: Any) -> Any:
        """Leave out columns that are not asked for, and images undecoded."""
        import datasets

        if not data.column_names:
            return data  # JSON Lines, whose columns show themselves in the rows
        split = self._case_split
        wanted = {*self.columns.model_dump().values(), *self.notes, split.column if split else ""}
        data = data.select_columns([name for name in data.column_names if name in wanted])
        feature = (data.features or {}).get(self.columns.image)
        if isinstance(feature, datasets.Image):
            data = data.cast_column(self.columns.image, datasets.Image(decode=False))
        elif isinstance(getattr(feature, "feature", None), datasets.Image):
            data = data.cast_column(self.columns.image, datasets.List(datasets.Image(decode=False)))
        return data

    @contextmanager
    def _explain_errors(self) -> Iterator[None]:
        """Turn what `datasets` raises into a DataError."""
        import pyarrow as pa
        from datasets.exceptions import DatasetsError

        try:
            yield
        except (OSError, ValueError, KeyError, RuntimeError, pa.ArrowException, DatasetsError) as error:
            where = self.path if Path(self.path).exists() else f"{self.path} (no folder here, so taken for a Hub name)"
            raise DataError(f"{where}: cannot be loaded ({first_line(error)})") from error

    def _make_case(self, row: TableRow, images: ImageFolder, ids: UniqueIds, sides: SplitSides | None) -> Case | Drop:
        held = [read_image(row, self.columns.image, value, images) for value in self.images_of(row)]
        return self.make_case(row, held, images, ids, sides)


def _resolve_beside(folder: Path, row: TableRow) -> TableRow:
    """Name an image from the folder of the set, where its row does from that of the table."""
    table = Path(row.place.rpartition(":")[0]).absolute()
    return TableRow(row.place, {**row.values, "image": os.path.relpath(table.parent / row.text("file_name"), folder)})


def _class_name(names: list[str], number: int | None) -> str | None:
    """Return the name of a class; the library writes -1 where there is none."""
    return None if number is None or number < 0 else names[number]


def _class_names(data: Any) -> dict[str, list[str]]:
    """Return the names of the classes by column, for columns that hold their numbers."""
    features = data.features or {}
    return {name: feature.names for name, feature in features.items() if type(feature).__name__ == "ClassLabel"}
