"""The reader of SLAKE: radiology questions in English and Chinese, with boxes and masks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import ClassVar, Literal

from mmedpo import Case, DataError, DataGuess, Drop, ExistingFolder, ImageRef, Reader, Region
from mmedpo.data import ImageFolder, TableRow, UniqueIds, answer_kind, json_rows
from mmedpo_plugins.guesses.released_sets import guess_released
from mmedpo_plugins.readers.slake.annotations import SlakeAnnotations

_FILES = {"train": ("train.json",), "validate": ("validate.json", "validation.json"), "test": ("test.json",)}
_NOTES = ("modality", "location", "base_type", "content_type", "triple", "q_lang")


class SlakeReader(Reader):
    """Read SLAKE: 642 radiographs, CTs and MRIs with questions in English and Chinese; public (CC BY 4.0).

        data: {use: slake, root: data/slake, split: train, language: en}

    `root` holds `train.json`, `validate.json` (on the Hugging Face Hub `validation.json`), `test.json` and `imgs/`.
    Boxes come from each image's `detection.json`, masks of lesions from its `mask.png`; a lesion that only the mask
    shows gets the box around it. A case is about those of its regions whose labels the question names; labels are
    English, so a Chinese question names none. Boxes without an area are left out.
    """

    use: ClassVar[str] = "slake"
    public: ClassVar[bool] = True
    license: ClassVar[str] = "cc-by-4.0"

    root: ExistingFolder
    """The folder with the JSON files and `imgs/`."""
    split: Literal["train", "validate", "test", "all"] = "train"
    """Which questions; no two splits share an image."""
    language: Literal["en", "zh", "both"] = "en"
    """The language of the questions and answers."""
    regions: Literal["lesions", "all"] = "lesions"
    """Which boxes and masks: those of lesions (cancer, tumor, edema, pneumonia ...), or those of organs too."""
    masks: bool = True
    """Whether lesions get their masks; without, a region is its box."""
    missing: Literal["error", "skip"] = "error"
    """What to do about images that are not there: stop and name the first, or drop their questions and count them."""
    restricted: bool = False
    """Whether the data must not leave this machine."""

    @classmethod
    def guess(cls, places: Sequence[Path]) -> DataGuess | None:
        """Return how it would read the first of these folders that is in its layout."""
        return guess_released(places, "train.json", "test.json", "imgs", test={"split": "test"})

    def read(self) -> Iterator[Case | Drop]:
        """Yield the questions in the order of the files. Raise DataError with the place of what cannot be read."""
        images = ImageFolder([self.root / "imgs"], self.missing)
        annotations = SlakeAnnotations(self.root, self.regions == "all", self.masks)
        rows = filter(self._is_wanted, chain.from_iterable(map(json_rows, self._split_files())))
        make = partial(self._make_case, images=images, ids=UniqueIds(), annotations=annotations)
        yield from images.complete(map(make, rows))

    def _split_files(self) -> Iterator[Path]:
        for split, names in _FILES.items():
            if self.split in (split, "all"):
                found = [self.root / name for name in names if (self.root / name).is_file()]
                if not found:
                    raise DataError(f"{self.root}: there is no {' or '.join(names)}; see docs/guides/data.md")
                yield found[0]

    def _is_wanted(self, row: TableRow) -> bool:
        return self.language in (row.text("q_lang"), "both")

    def _make_case(
        self, row: TableRow, images: ImageFolder, ids: UniqueIds, annotations: SlakeAnnotations
    ) -> Case | Drop:
        unique, name = ids.distinct(row.text("qid")), row.text("img_name")
        path = images.find(name, row)
        if path is None:
            return images.drop(unique)
        question, answer, regions = row.text("question"), row.text("answer"), annotations.of(path)
        return Case(
            unique,
            ImageRef.at(path, row.place),
            question,
            answer,
            kind={"CLOSED": "closed", "OPEN": "open"}.get(row.get("answer_type")) or answer_kind(answer),  # type: ignore[arg-type]
            group=name,
            about=named_labels(question, regions),
            regions=regions,
            restricted=self.restricted,
            notes={key: row.values[key] for key in _NOTES if row.values.get(key)},
        )


def named_labels(question: str, regions: Sequence[Region]) -> tuple[str, ...]:
    """Return the labels that a question names; of "lung cancer" and "lung" in one place the longer one alone."""
    found = []
    for label in sorted({region.label for region in regions if region.label}, key=lambda label: (-len(label), label)):
        question, count = re.subn(rf"\b{re.escape(label)}s?\b", "_", question, flags=re.IGNORECASE)
        if count:
            found.append(label)
    return tuple(found)
