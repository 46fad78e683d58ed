"""Checks of parts that are asked about a batch of cases or pairs: its size, its order, its texts, its films."""

from __future__ import annotations

import math
import random
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from operator import eq
from typing import Any, ClassVar, NoReturn

from mmedpo.core.records import Case
from mmedpo.registry.conformance.blame import blame_part
from mmedpo.registry.contracts.backbone import LiveBackbone
from mmedpo.testing.checks.check import LOWER, Check, Trial
from mmedpo.testing.checks.odd_cases import list_odd_cases, list_written_cases
from mmedpo.testing.tiny import tiny_cases

ROUNDING = 1e-3  # in float32, of what a batch of another size adds up in another order


class PartVerb(ABC):
    """How a run asks parts of one kind about a batch."""

    word: ClassVar[str]  # the method
    noun: ClassVar[str]  # what it is asked about
    independent: ClassVar[bool] = True  # whether an item comes to the same in any batch

    @abstractmethod
    def make_items(self, trial: Trial, cases: Sequence[Case]) -> list[Any]:
        """Make what the part is asked about."""

    @abstractmethod
    def ask(self, trial: Trial, live: Any, items: Sequence[Any], backbone: LiveBackbone | None) -> list[Any]:
        """Ask the open part and return what each item comes to, checked, as plain values."""

    def try_cases(self, trial: Trial, cases: Sequence[Case]) -> list[Any]:
        """Ask the part about cases, or what is made of them."""
        return self.try_items(trial, self.make_items(trial, cases))

    def try_items(self, trial: Trial, items: Sequence[Any], live: Any = None) -> list[Any]:
        """Ask the part, as it was opened for this or for all checks."""
        asks = getattr(trial.part, "needs_backbone", False)
        opened = trial.live() if live is None else live
        with blame_part(trial.plugin, LOWER):
            return self.ask(trial, opened, items, trial.make_backbone() if asks else None)


class BatchChecks:
    """The checks of a verb."""

    def __init__(self, verb: PartVerb) -> None:
        """Take the verb."""
        self.verb = verb

    def list(self) -> list[Check]:
        """Return them in the order in which they are tried."""
        verb, noun = self.verb.word, self.verb.noun
        checks = [
            Check("a batch", f"`{verb}` gives what its contract says, for each {noun} of several", self.several),
            Check("an empty batch", f"`{verb}` gives nothing for no {noun}", self.none),
            Check("one alone", f"`{verb}` takes one {noun} alone", self.one),
            Check("one twice", f"`{verb}` takes the same image and question twice in a batch", self.twice),
            Check("any script", f"`{verb}` takes texts in any script, with line breaks and marks", self.scripts),
            Check(
                "any film", f"`{verb}` takes a film in colour, tall, even, without a region, and a report", self.films
            ),
            Check("the same again", "gives the same when opened again, however global generators stand", self.again),
        ]
        order = f"gives each {noun} the same whatever else is in the batch, and in which order"
        return [*checks, Check("any order", order, self.order)] if self.verb.independent else checks

    def several(self, trial: Trial) -> None:
        self.verb.try_cases(trial, tiny_cases())

    def none(self, trial: Trial) -> None:
        if made := self.verb.try_cases(trial, []):
            raise trial.make_breach(f"`{self.verb.word}` made {len(made)} results of an empty batch; return none")

    def one(self, trial: Trial) -> None:
        self.verb.try_cases(trial, tiny_cases(1))

    def twice(self, trial: Trial) -> None:
        first = tiny_cases(1)[0]
        self.verb.try_cases(trial, [first, replace(first, id=f"{first.id}-again")])

    def scripts(self, trial: Trial) -> None:
        self.verb.try_cases(trial, list_written_cases())

    def films(self, trial: Trial) -> None:
        self.verb.try_cases(trial, list_odd_cases())

    def again(self, trial: Trial) -> None:
        items = self.verb.make_items(trial, tiny_cases(2))
        with other_generators(1):
            one = self.verb.try_items(trial, items)
        with other_generators(2), trial.open() as live:
            other = self.verb.try_items(trial, items, live)
        if at := _first_difference(one, other):
            cure = "draw from mmedpo.seed_for(setting.seed, case.id, ...) alone, and keep nothing between two openings"
            self._blame(trial, at, "when asked again", cure)

    def order(self, trial: Trial) -> None:
        items = self.verb.make_items(trial, tiny_cases(3))
        forward = self.verb.try_items(trial, items)
        backward = self.verb.try_items(trial, items[::-1])[::-1]
        alone = self.verb.try_items(trial, items[:1])
        if at := _first_difference(forward, backward, _are_close) or _first_difference(forward[:1], alone, _are_close):
            self._blame(trial, at, "in another batch", "it may depend on the item, the options and the seed alone")

    def _blame(self, trial: Trial, at: int, when: str, cure: str) -> NoReturn:
        gave = f"`{self.verb.word}` gave {self.verb.noun} {at} something else {when}"
        raise trial.make_breach(f"{gave}; {cure}")


def _first_difference(one: Sequence[Any], other: Sequence[Any], alike: Callable[[Any, Any], bool] = eq) -> int:
    """Return the number, from 1, of the first item that differs; 0 where none does."""
    differs = (number for number, both in enumerate(zip(one, other, strict=True), 1) if not alike(*both))
    return next(differs, 0)


def _are_close(one: Any, other: Any) -> bool:
    """Tell whether values are the same but for rounding, which another batch may change; so are hashes of images."""
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=ROUNDING, abs_tol=ROUNDING)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(
            name == "sha256" or _are_close(value, other[name]) for name, value in one.items()
        )
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_are_close, one, other))
    return bool(one == other)


@contextmanager
def other_generators(seed: int) -> Iterator[None]:
    """Let the global generators stand elsewhere meanwhile."""
    numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
    python, array, tensor = random.getstate(), numpy and numpy.random.get_state(), torch and torch.get_rng_state()
    random.seed(seed)
    if numpy:
        numpy.random.seed(seed)
    if torch:
        torch.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(python)
        if numpy:
            numpy.random.set_state(array)
        if torch:
            torch.set_rng_state(tensor)
