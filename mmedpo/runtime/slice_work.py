"""What a stage does with a slice of its items, as an object that can be sent to where it is done."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from mmedpo.endpoints.options import may_call_endpoint
from mmedpo.registry.contracts.part import Part
from mmedpo.runtime.stage_parts import StageParts

Item = TypeVar("Item")


@dataclass(frozen=True)
class SliceWork(ABC, Generic[Item]):
    """A part's work. It is pickled, so it holds parts and plain values: what is open comes with `do`."""

    part: Part  # whose work it is: it is blamed for what goes wrong, and its slice size counts
    lower: str  # what to lower where memory runs out

    @abstractmethod
    def do(self, opened: StageParts, some: Sequence[Item]) -> Any:
        """Return what a slice comes to, as JSON."""

    def stays(self) -> bool:
        """Tell whether the run's own process must do it: what endpoints are paid, and how fast, is counted there."""
        return may_call_endpoint(self.part)
