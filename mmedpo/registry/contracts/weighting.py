"""The contract of weightings, which make loss factors of relevances."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from mmedpo.core.records import Score
from mmedpo.registry.contracts.part import Part


class Weighting(Part, ABC):
    """Make the loss factors of a whole set of pairs from their relevances."""

    equal: ClassVar[bool] = False  # whether all are the same on purpose; else a run says where they are

    @abstractmethod
    def weigh(self, scores: Sequence[Score]) -> list[float]:
        """Return a finite, non-negative weight for each score; every score here has a relevance."""
