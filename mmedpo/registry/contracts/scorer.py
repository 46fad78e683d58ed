"""The contract of scorers, which rate how clinically relevant the difference within a pair is."""

from __future__ import annotations

from abc import ABC
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Annotated, Any, ClassVar, Protocol

from pydantic import Field

from mmedpo.core.records import Pair, PairKind, Score
from mmedpo.registry.contracts.part import Part
from mmedpo.registry.contracts.setting import Setting


class LiveScorer(Protocol):
    """What an open scorer does."""

    def score(self, pairs: Sequence[Pair]) -> list[Score]:
        """Rate each pair, in order. A relevance of None is an abstention; say why in the evidence.

        Evidence with `passing` true says that an endpoint failed on it: the next run asks again.
        """
        ...


class Scorer(Part, ABC):
    """Rate how clinically relevant the difference within a pair is."""

    rates: ClassVar[Annotated[frozenset[PairKind], Field(min_length=1)]]  # the pair kinds it can rate

    def open(self, setting: Setting) -> AbstractContextManager[LiveScorer]:
        """Yield the object that scores; by default the part itself."""
        return nullcontext(self)  # type: ignore[arg-type]

    def summary(self, pairs: Sequence[Pair], scores: Sequence[Score]) -> dict[str, Any]:
        """Return what is worth knowing of its scores of a whole set of pairs, as JSON; by default nothing."""
        return {}
