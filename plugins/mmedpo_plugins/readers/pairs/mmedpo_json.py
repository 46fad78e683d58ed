"""Reader of the preference pairs released with MMedPO, and of any file in their form."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

from mmedpo import DataError, DataGuess, Drop, ExistingFolder, Pair, Remark
from mmedpo.data import json_rows
from mmedpo_plugins.guesses.released_sets import guess_released
from mmedpo_plugins.readers.pairs.pair_builder import ReadyPairReader
from mmedpo_plugins.readers.pairs.row_formats import read_mmedpo_row

_SUFFIX = "_dpo_weighted.json"


class MmedpoJsonReader(ReadyPairReader):
    """Read ready preference pairs with their published scores.

        data: {use: mmedpo-json, root: data/vqa_rad, missing: skip}

    An entry of the file:

        {"id": 7, "image": "synpic1.jpg", "weighted_score": 0.9,
         "conversations":          [{"from": "human", "value": "<image>\\nIs there a mass?"},
                                    {"from": "gpt", "value": " No"}],
         "rejected_conversations": [{"from": "human", "value": "<image>\\nIs there a mass?"},
                                    {"from": "gpt", "value": " Yes, a large one."}]}

    `rejected_image` names the image of the rejected side where it is another one; `rejected_noised: 1` says that the
    rejected side is shown noise and nothing of the film, `chosen_noised: 1` that both are, as in MMedPO's trainer (here
    the noise is drawn once for each film, there each time). No entry of the four released files has any of the three.
    Questions of the released reports tell to describe the image, and make reports. The score becomes the pair's
    relevance; without one a scorer is asked. Ids are numbers or strings; an id that stands for several entries gets
    `~2`, `~3` ... from its second entry on. An entry whose sides are equal is dropped and counted. Some released
    answers begin with "Question:" and the question again: 144 of SLAKE's, 23 of VQA-RAD's.
    """

    use: ClassVar[str] = "mmedpo-json"

    root: ExistingFolder
    """A folder with one `*_dpo_weighted.json` and the images, in `images/` or beside it."""
    images: ExistingFolder | None = None
    """The folder of the images, where it is not `root/images`."""

    @classmethod
    def guess(cls, places: Sequence[Path]) -> DataGuess | None:
        """Return how it would read the first of these folders that is in its layout."""
        return guess_released(places, f"*{_SUFFIX}")

    def read(self) -> Iterator[Pair | Drop | Remark]:
        """Yield the pairs in the order of the file. Raise DataError with line and column for what cannot be read."""
        folders = [self.root / "images", self.root] if self.images is None else [self.images]
        yield from self.pairs(lambda: json_rows(self._find_file()), folders, read_mmedpo_row)

    def _find_file(self) -> Path:
        if self.file is not None:
            return self.file
        found = sorted(self.root.glob(f"*{_SUFFIX}"))
        if len(found) != 1:
            names = ", ".join(path.name for path in found) or "none"
            raise DataError(f"{self.root}: wants one file *{_SUFFIX}, has {names}; name the file with data.file")
        return found[0]
