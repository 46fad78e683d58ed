"""The contract of dispreferences, which make the rejected side of a pair."""

from __future__ import annotations

from abc import ABC
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import ClassVar, Protocol

from pydantic import PositiveInt

from mmedpo.core.records import Case, CaseKind, Drop, Pair, PairKind
from mmedpo.registry.contracts.backbone import LiveBackbone
from mmedpo.registry.contracts.part import Part
from mmedpo.registry.contracts.setting import Setting


class LiveDispreference(Protocol):
    """What an open dispreference does."""

    def disprefer(
        self, cases: Sequence[Case], backbone: LiveBackbone | None, earlier: Sequence[Sequence[Pair]]
    ) -> Iterator[Pair | Drop]:
        """Yield pairs of the cases, or a drop with its reason for a case of which none can be made.

        `backbone` is open when the part says `needs_backbone`. `earlier[i]` are the pairs which the dispreferences
        before this one in the recipe made of `cases[i]`.
        """
        ...


class Dispreference(Part, ABC):
    """Make the rejected side of a pair."""

    makes: ClassVar[PairKind]  # the kind of its pairs
    needs_backbone: ClassVar[bool] = False
    pairs_a_case: ClassVar[PositiveInt] = 1  # at most

    def longest_answer(self, kind: CaseKind) -> int:
        """Return the tokens that a rejected answer to a case of a kind has at most."""
        return 256

    def needs_region(self) -> bool:
        """Tell whether it makes no pair of a case without a region."""
        return False

    def follows(self) -> PairKind | None:
        """Return the kind of the earlier pairs without which it makes none."""
        return None

    def open(self, setting: Setting) -> AbstractContextManager[LiveDispreference]:
        """Yield the object that disprefers; by default the part itself."""
        return nullcontext(self)  # type: ignore[arg-type]
