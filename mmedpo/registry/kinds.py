"""The kinds of part, a row each: hooks, discovery, schema, checks, snippets and pages are made from this table.

Another kind is another row here and its contract in `mmedpo.registry.contracts`; the recipe names its parts where a
section's model has a field of that contract.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pkgutil import resolve_name
from typing import TYPE_CHECKING

from mmedpo.errors import PluginError

if TYPE_CHECKING:
    from mmedpo.registry.contracts.part import Part

HOME = "mmedpo.registry.contracts"
PREFIX = "mmedpo."  # of the entry-point groups that are for us


@dataclass(frozen=True)
class Kind:
    """A kind of part: how plugins offer it, and where a recipe names it."""

    name: str  # as messages, run folders and the recipe's schema say it
    plural: str  # hook and entry-point group are named by it
    home: str  # "module:class" of the contract, which is imported only when asked for: a list of parts needs none
    does: str  # what its parts do, for the end of a sentence
    key: str  # where a recipe names it, dotted
    page: str  # of the docs, where a user reads on
    several: bool = False  # whether a recipe may name several
    beside: str = ""  # what the recipe's section wants beside it, in YAML, so that a snippet is whole

    def __str__(self) -> str:
        return self.name

    @property
    def group(self) -> str:
        """The entry-point group in which packages announce their parts of this kind."""
        return f"{PREFIX}{self.plural}"

    @property
    def hook(self) -> str:
        """The hook that returns a module's classes of this kind."""
        return f"mmedpo_{self.plural}"

    @cached_property
    def contract(self) -> type[Part]:
        """The class that parts of this kind are subclasses of."""
        contract: type[Part] = resolve_name(self.home)
        return contract


KINDS: dict[str, Kind] = {kind.name: kind for kind in (
    Kind("reader", "readers", f"{HOME}.reader:Reader",
         does="read a data set", key="data", several=True, page="guides/data.md"),
    Kind("backbone", "backbones", f"{HOME}.backbone:Backbone",
         does="bring a medical vision-language model", key="backbone", page="explanation/backbones.md"),
    Kind("localizer", "localizers", f"{HOME}.localizer:Localizer",
         does="find lesions", key="localize", several=True, page="explanation/localizing.md"),
    Kind("dispreference", "dispreferences", f"{HOME}.dispreference:Dispreference",
         does="make the rejected side of a pair", key="disprefer", several=True, page="explanation/hallucination.md"),
    Kind("scorer", "scorers", f"{HOME}.scorer:Scorer",
         does="rate the clinical relevance of a pair", key="score", several=True, page="explanation/relevance.md"),
    Kind("weighting", "weightings", f"{HOME}.weighting:Weighting",
         does="turn relevances into weights", key="weigh", page="explanation/relevance.md"),
    Kind("loss", "losses", f"{HOME}.loss:Loss",
         does="say what training lessens", key="train.loss", several=True, page="explanation/losses.md"),
    Kind("metric", "metrics", f"{HOME}.metric:Metric",
         does="measure answers", key="evaluate.measure", several=True, page="explanation/metrics.md",
         beside="data: {use: phantom, split: test}"),
    Kind("observer", "observers", f"{HOME}.observer:Observer",
         does="watch a run", key="observe", several=True, page="reference/recipe.md"),
)}  # fmt: skip


def find_kind(part: type[Part]) -> Kind:
    """Return the kind of a part's class, or of a contract. Raises PluginError for a class that is built on none."""
    homes = {f"{base.__module__}:{base.__qualname__}" for base in part.__mro__}
    for kind in KINDS.values():
        if kind.home in homes:
            return kind
    raise PluginError(f"{part.__name__} is a part of no kind; build it on the contract of a {', a '.join(KINDS)}")
