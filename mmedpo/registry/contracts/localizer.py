"""The contract of localizers, which find where in an image the lesion is."""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, ClassVar, Protocol

from mmedpo.core.records import Case, Region
from mmedpo.registry.contracts.backbone import LiveBackbone
from mmedpo.registry.contracts.part import Part
from mmedpo.registry.contracts.setting import Setting


class LiveLocalizer(Protocol):
    """What an open localizer does."""

    def localize(self, cases: Sequence[Case], backbone: LiveBackbone | None) -> list[list[Region]]:
        """Return the regions of each case's image; an empty list where nothing was found.

        A case has one image, unless the part says `several_images`: then `Region.image` says in which one it lies.
        `backbone` is open when the part says `needs_backbone`.
        """
        ...


class Localizer(Part, ABC):
    """Find where in an image the lesion is."""

    takes_given: ClassVar[bool] = False  # True: gives the regions that the data come with, and finds none itself
    reads_question: ClassVar[bool] = False  # False: asked once an image, for all its cases
    several_images: ClassVar[bool] = False  # True: asked once a case, with all its images; it reads the question too
    needs_backbone: ClassVar[bool] = False

    @property
    def learnt(self) -> Path | None:
        """The file that `learn` writes and `open` reads; None for a localizer that learns nothing."""
        return None

    def learn(
        self, cases: dict[str, Sequence[Case]], setting: Setting, tell: Callable[[int, int], None]
    ) -> dict[str, Any]:
        """Learn from annotated cases and write `learnt`; return what is known of how good it is, as JSON.

        `cases` has "train", "validation" to choose by, and perhaps "test", which decides nothing; no image is in two of
        them. `tell(step, steps)` shows how far it is. Raises DataError for cases that nothing can be learned from.
        """
        raise NotImplementedError(f"{self.use} learns nothing")

    def sources(self, cases: Sequence[Case]) -> list[str]:
        """Return for each case on what else its regions rest than on its content: the name of a file, for one.

        Asked with all cases before any is localized, whatever is known of them already; what it returns is part of what
        results are remembered by. Raises DataError where something that it needs is not there.
        """
        return [""] * len(cases)

    def open(self, setting: Setting) -> AbstractContextManager[LiveLocalizer]:
        """Yield the object that localizes; by default the part itself."""
        return nullcontext(self)  # type: ignore[arg-type]
