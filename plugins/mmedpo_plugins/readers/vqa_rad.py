"""The reader of VQA-RAD, as it lies on OSF and as it lies on the Hugging Face Hub."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import ClassVar, Literal

from mmedpo import Case, DataError, DataGuess, Drop, ExistingFolder, ImageRef, Reader, hookimpl
from mmedpo.data import ImageFolder, TableRow, UniqueIds, answer_kind, collect_rows, json_rows
from mmedpo_plugins.guesses.released_sets import guess_released
from mmedpo_plugins.tabular.parquet import image_bytes, parquet_rows

_FILE = "VQA_RAD Dataset Public.json"
_NOTES = ("phrase_type", "question_type", "image_organ", "qid_linked_id")


@hookimpl
def mmedpo_readers() -> list[type[Reader]]:
    return [VqaRadReader]


class VqaRadReader(Reader):
    """Read VQA-RAD: 315 radiographs, CTs and MRIs with questions by clinicians; public (CC0).

        data: {use: vqa-rad, root: data/vqa_rad, split: train}

    `root` holds what OSF has, `VQA_RAD Dataset Public.json` and `VQA_RAD Image Folder/`, or what the Hugging Face Hub
    has as flaviagiammarino/vqa-rad, `data/train-*.parquet` and `data/test-*.parquet`. The official test questions are
    those of phrase type test_freeform and test_para. The split is by question: most test images are also in training.
    The Hub's form has no answer type; there an answer yes or no makes a closed question.
    """

    use: ClassVar[str] = "vqa-rad"
    public: ClassVar[bool] = True
    license: ClassVar[str] = "cc0-1.0"

    root: ExistingFolder
    """The folder with the JSON file, or with `data/*.parquet`."""
    split: Literal["train", "test", "all"] = "train"
    """Which questions."""
    images: ExistingFolder | None = None
    """The folder of the images, where it is neither `VQA_RAD Image Folder` nor `images` in root."""
    missing: Literal["error", "skip"] = "error"
    """What to do about images that are not there: stop and name the first, or drop their questions and count them."""
    restricted: bool = False
    """Whether the data must not leave this machine."""

    @classmethod
    def guess(cls, places: Sequence[Path]) -> DataGuess | None:
        """Return how it would read the first of these folders that is in its layout."""
        return guess_released(places, _FILE, test={"split": "test"})

    def has_regions(self) -> bool:
        """Tell that the data set has none."""
        return False

    def read(self) -> Iterator[Case | Drop]:
        """Yield the questions in the order of the files. Raise DataError with the place of what cannot be read."""
        if (self.root / _FILE).is_file():
            return self._read_json()
        if any((self.root / "data").glob("*.parquet")):
            return self._read_parquet()
        raise DataError(
            f"{self.root}: holds neither {_FILE!r} (OSF) nor data/*.parquet (Hugging Face); see docs/guides/data.md"
        )

    def _read_json(self) -> Iterator[Case | Drop]:
        folders = [self.root / "VQA_RAD Image Folder", self.root / "images"] if self.images is None else [self.images]
        images = ImageFolder(folders, self.missing)
        rows = filter(self._is_wanted, json_rows(self.root / _FILE))
        yield from images.complete(map(partial(self._make_case, images=images, ids=UniqueIds()), rows))

    def _is_wanted(self, row: TableRow) -> bool:
        split = "test" if row.text("phrase_type").startswith("test_") else "train"
        return self.split in (split, "all")

    def _make_case(self, row: TableRow, images: ImageFolder, ids: UniqueIds) -> Case | Drop:
        name, image, answer = ids.distinct(row.text("qid")), row.text("image_name"), row.text("answer")
        path = images.find(image, row)
        if path is None:
            return images.drop(name)
        told = row.get("answer_type").upper()  # a few have a space behind
        return Case(
            name,
            ImageRef.at(path, row.place),
            row.text("question"),
            answer,
            kind={"CLOSED": "closed", "OPEN": "open"}.get(told) or answer_kind(answer),  # type: ignore[arg-type]
            group=image,
            restricted=self.restricted,
            notes={key: row.values[key] for key in _NOTES if row.values.get(key)},
        )

    def _read_parquet(self) -> Iterator[Case | Drop]:
        for split in ("train", "test"):
            files = sorted((self.root / "data").glob(f"{split}-*.parquet"))
            if self.split in (split, "all"):
                if not files:
                    raise DataError(f"{self.root}: there is no data/{split}-*.parquet")
                rows = chain.from_iterable(map(parquet_rows, files))
                yield from collect_rows(map(partial(self._case_of_row, split, UniqueIds()), rows))

    def _case_of_row(self, split: str, ids: UniqueIds, row: TableRow) -> Case:
        content, question, answer = image_bytes(row, "image"), row.text("question"), row.text("answer")
        return Case(
            f"{split}-{ids.of(content, question, answer)}",
            ImageRef.encoded(content, row.place),
            question,
            answer,
            kind=answer_kind(answer),
            restricted=self.restricted,
        )
