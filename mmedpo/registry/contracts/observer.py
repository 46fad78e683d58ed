"""The contract of observers, which watch a run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from mmedpo.registry.contracts.part import Part

if TYPE_CHECKING:
    from mmedpo.events import Event


class Observer(Part, ABC):
    """Watch a run. One that raises is dropped with a warning; the run goes on."""

    @abstractmethod
    def see(self, event: Event) -> None:
        """Take note of an event."""
