"""The reader of preference pairs in the forms that training tools load."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from mmedpo import DataError, DataGuess, Drop, ExistingFolder, Pair, Remark
from mmedpo.data import TableRow, json_rows, jsonl_rows
from mmedpo_plugins.readers.pairs.pair_builder import ReadyPairReader
from mmedpo_plugins.readers.pairs.row_formats import read_row
from mmedpo_plugins.tabular.parquet import parquet_rows


class PairsReader(ReadyPairReader):
    """Read preference pairs in the forms that TRL, ms-swift, LLaMA-Factory and MMedPO's own code load.

        data: {use: pairs, root: exported}

    The form is told by the columns: prompt, chosen, rejected, or chosen and rejected that begin with the question
    (TRL); messages with rejected_response, rejected_messages or rejected_images (ms-swift); conversations with chosen
    (LLaMA-Factory) or with rejected_conversations (MMedPO); question, chosen, rejected (a plain table). A row is one
    question with its images, one chosen and one rejected answer; one with further turns, wrong answers or media is
    refused. A folder that `mmedpo export` wrote also tells ids, groups, kinds, who made and rated each pair, its
    weight and whether it is restricted; in others a row is a case of its own. Columns `relevance` (or
    `weighted_score`, 0 to 1), `weight` and `restricted` are the pair's where they are there.
    """

    use: ClassVar[str] = "pairs"

    root: ExistingFolder
    """The folder with one file of pairs (.parquet, .jsonl or .json, also below `data/`) and the images."""
    images: ExistingFolder | None = None
    """The folder that images are named in, where it is neither root nor `root/images`."""
    restricted: bool = True
    """Whether the data must not leave this machine; with false, pairs that say they are restricted stay so."""

    @classmethod
    def guess(cls, places: Sequence[Path]) -> DataGuess | None:
        """Return how it would read the first of these folders that is in its layout."""
        return next(filter(None, map(_guess_folder, places)), None)

    def read(self) -> Iterator[Pair | Drop | Remark]:
        """Yield the pairs in the order of the file. Raise DataError with the place of what cannot be read."""
        folders = [self.root, self.root / "images"] if self.images is None else [self.images]
        yield from self.pairs(lambda: _read_rows(self._find_file()), folders, read_row)

    def _find_file(self) -> Path:
        if self.file is not None:
            return self.file
        places = [folder for folder in (self.root, self.root / "data") if folder.is_dir()]
        found = [path for place in places for path in sorted(place.iterdir()) if path.suffix in _ROWS]
        found = [path for path in found if path.name != "dataset_info.json"]
        if len(found) != 1:
            names = ", ".join(path.name for path in found) or "none"
            raise DataError(f"{self.root}: wants one file of pairs, has {names}; name the file with data.file")
        return found[0]


_ROWS: Mapping[str, Callable[[Path], Iterator[TableRow]]] = {
    ".parquet": parquet_rows,
    ".jsonl": jsonl_rows,
    ".json": json_rows,
}


def _guess_folder(root: Path) -> DataGuess | None:
    """Return how a folder of pairs would be read: its rows have a rejected side."""
    try:
        file = PairsReader(root=root)._find_file()
        first = next(_read_rows(file), None)
    except (DataError, ValueError):
        return None
    has_sides = first and any(key.startswith("rejected") for key in first.values)
    return DataGuess({"root": root}, certain=True, table=f"{file}: pairs") if has_sides else None


def _read_rows(file: Path) -> Iterator[TableRow]:
    if file.suffix not in _ROWS:
        raise DataError(f"{file}: is neither .parquet nor .jsonl nor .json")
    return _ROWS[file.suffix](file)
