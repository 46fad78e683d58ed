"""What a run tells its observers: frozen objects, sent in order from the main process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class StageStarted:
    """A stage begins; `total` items lie before it, `done` of them finished by an earlier run."""

    stage: str
    total: int
    done: int = 0


@dataclass(frozen=True)
class StageAdvanced:
    """`count` more items of a stage are finished and journalled."""

    stage: str
    count: int


@dataclass(frozen=True)
class StageCount:
    """How many of one thing came out of a stage, or were left behind."""

    what: str  # the key of what was counted
    count: int
    part: str = ""  # the part that made, rated or left it
    other: str = ""  # the part that `part` is compared with
    kind: str = ""  # of the pairs: text or image
    reason: str = ""  # why it was left, in the part's own words


@dataclass(frozen=True)
class StageFinished:
    """A stage is complete; `counts` says what came out, and what was left behind and why."""

    stage: str
    counts: tuple[StageCount, ...] = ()


@dataclass(frozen=True)
class TrainingLogged:
    """The trainer logged `values` at an optimiser step."""

    step: int
    total: int
    values: Mapping[str, float]


@dataclass(frozen=True)
class RunFinished:
    """The run is complete; `result` is what measures.json holds, `did` whether anything had to be done."""

    folder: str
    result: Mapping[str, Any]
    did: bool = True


Event = StageStarted | StageAdvanced | StageFinished | TrainingLogged | RunFinished
EventObserver = Callable[[Event], None]

__all__ = [
    "Event",
    "EventObserver",
    "RunFinished",
    "StageAdvanced",
    "StageCount",
    "StageFinished",
    "StageStarted",
    "TrainingLogged",
]
