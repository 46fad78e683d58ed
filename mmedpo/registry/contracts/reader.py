"""The contract of readers, which read a data set."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field

from mmedpo.core.records import Case, Drop, Pair, Remark
from mmedpo.registry.contracts.data_guess import DataGuess
from mmedpo.registry.contracts.part import Part

if TYPE_CHECKING:
    from mmedpo.core.images import ImageRef


class Reader(Part, ABC):
    """Read a data set.

    A reader of cases yields `Case`; one of ready preference data yields `Pair`.
    """

    yields: ClassVar[Literal["cases", "pairs"]] = "cases"  # what `read` yields, beside drops
    public: ClassVar[bool] = False  # True only for a data set that anyone may have
    license: ClassVar[str] = ""  # of the data set, by the Hub's name for it; "" where it depends
    restricted: bool = Field(default=True, description="Whether the data must not leave this machine.")

    @classmethod
    def guess(cls, places: Sequence[Path]) -> DataGuess | None:
        """Return how it would read what lies at some files and folders; None where that is none of its layouts.

        Asked by `mmedpo init`. What is nearly its layout says in `lacks` what is missing.
        """
        return None

    def has_regions(self) -> bool | None:
        """Tell whether its cases come with regions; None where that is not known before they are read."""
        return None

    def has_several_images(self) -> bool | None:
        """Tell whether a case of it has several images; None where that is not known before they are read."""
        return None

    def held_out(self) -> Self | None:
        """Return the reader of the cases of its data that it leaves for measuring; None where it leaves none.

        `evaluate:` without `data` reads these.
        """
        return None

    @abstractmethod
    def read(self) -> Iterator[Case | Pair | Drop | Remark]:
        """Yield every case or pair, in an order that does not change, and a drop for each left out on purpose.

        What the user should know of one that is read all the same is a remark; remarks are counted by their text.

        Raise DataError with file and line for what cannot be read.
        """

    def picture(self, path: Path) -> ImageRef:
        """Name an image file as this reader reads them: a film in DICOM form takes more than another."""
        from mmedpo.core.images import ImageRef

        return ImageRef.at(path)
