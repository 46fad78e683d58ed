"""What a recipe can cost at most: its real prompts, counted before anything is sent or any model is loaded."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmedpo.core.locality import is_allowed_host, parse_host
from mmedpo.core.privacy import private_files
from mmedpo.core.records import Case, Pair
from mmedpo.core.usage import Usage
from mmedpo.curate.reading import gather_cases, read_records
from mmedpo.endpoints.ledger import Budget, SpendingLedger, to_spending
from mmedpo.endpoints.token_bounds import make_filler
from mmedpo.recipe.model import LoadedRecipe
from mmedpo.registry.conformance.blame import blame_part
from mmedpo.registry.contracts.dispreference import Dispreference
from mmedpo.registry.contracts.part import Part
from mmedpo.registry.plugin_info import PluginInfo
from mmedpo.runtime.context import RunContext
from mmedpo.store.journal import Journal
from mmedpo.store.run_files.format import dump_model
from mmedpo.store.run_files.record import EndpointCall, require_readable


@dataclass(frozen=True)
class CostLine:
    """What one part may ask of one model."""

    part: str
    model: str
    host: str
    items: int  # cases or pairs it is asked about, in all rounds
    usage: Usage
    batch: bool = False  # at the price of batches
    restricted: bool = False  # whether one of the items is


@dataclass(frozen=True)
class CostEstimate:
    """What a recipe can need at most."""

    cases: int
    pairs: int  # at most, in each round
    rounds: int
    lines: list[CostLine]
    refused: list[str]  # hosts that the data must not go to
    local: list[str]  # parts that call nobody
    uncounted: list[str]  # who is asked as often as parts like, and is in no line
    spent: Usage  # by this run so far

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "cases": self.cases,
            "pairs": self.pairs,
            "rounds": self.rounds,
            "parts": [vars(line) | {"usage": dump_model(to_spending(line.usage))} for line in self.lines],
            "at_most": dump_model(to_spending(self.total)),
            "refused": self.refused,
            "local": self.local,
            "uncounted": self.uncounted,
            "spent": dump_model(to_spending(self.spent)),
        }

    @property
    def total(self) -> Usage:
        """All lines together."""
        return sum((line.usage for line in self.lines), Usage())


def estimate_cost(loaded: LoadedRecipe, folder: Path, limit: int | None = None) -> CostEstimate:
    """Count the calls, tokens and money that a recipe can need at most. Loads no model and needs no key.

    Each round may ask as much as the first: what it asks of pairs that are the same again is not paid twice.
    """
    recipe = loaded.recipe
    rounds = recipe.rounds.count if recipe.rounds else 1
    require_readable(folder)
    readers = [recipe.evaluate.data] if recipe.evaluate and recipe.measures_alone else recipe.data
    with tempfile.TemporaryDirectory() as place, private_files(wanted=False):
        journal = Journal(Path(place) / "journal.sqlite")
        try:
            records = read_records(RunContext(loaded, Path(place), journal, lambda event: None, limit), readers)
        finally:
            journal.close()
    (cases, _), pairs = gather_cases(records), list(records.pairs)
    lines: list[CostLine] = []
    for maker in recipe.disprefer:
        lines += _lines(loaded.plugins[type(maker)], maker, cases, recipe.budget, rounds)
        pairs += [pair for case in cases for pair in _placeholders(maker, case)]
    for scorer in recipe.score:
        mine = [pair for pair in pairs if pair.kind in scorer.rates and pair.relevance is None]
        lines += _lines(loaded.plugins[type(scorer)], scorer, mine, recipe.budget, rounds)
    callers = {line.part for line in lines}
    parts: Sequence[Part] = [*recipe.disprefer, *recipe.score]
    served = recipe.backbone.answers
    sent = [(line.host, line.restricted) for line in lines]
    sent += [(parse_host(served.base_url), any(case.restricted for case in cases))] if served else []
    refused = [host for host, restricted in sent if restricted and not is_allowed_host(host, recipe.allow_remote)]
    spent = SpendingLedger(recipe.budget or Budget(), folder / EndpointCall.file).total
    local = [part.use for part in parts if part.use not in callers]
    uncounted = [f"{served.model} at {parse_host(served.base_url)}, for the backbone"] if served else []
    return CostEstimate(len(cases), len(pairs), rounds, lines, list(dict.fromkeys(refused)), local, uncounted, spent)


def _lines(
    plugin: PluginInfo, part: Any, items: Sequence[Any], budget: Budget | None, rounds: int
) -> Iterator[CostLine]:
    if not items:
        return
    ledger = SpendingLedger(budget or Budget())
    with blame_part(plugin, "--limit"):
        usages = list(part.estimate_usage(items))
    for endpoint, usage in usages:
        usage = usage.times(rounds)
        money = ledger.price_usage(endpoint.model, usage.tokens, endpoint.price_share).money
        host = parse_host(endpoint.base_url)
        restricted = any((item.case if isinstance(item, Pair) else item).restricted for item in items)
        asked, usage = len(items) * rounds, replace(usage, money=money)
        yield CostLine(part.use, endpoint.model, host, asked, usage, endpoint.batch, restricted)


def _placeholders(maker: Dispreference, case: Case) -> list[Pair]:
    """Make the pairs that a dispreference can make of a case at most, each with the longest answer it may have."""
    answer = make_filler(maker.longest_answer(case.kind)) if maker.makes == "text" else case.answer
    chosen, rejected = case.side(case.answer), case.side(answer)
    return [
        Pair(case, chosen, rejected, maker.makes, made_by=maker.use, number=number)
        for number in range(maker.pairs_a_case)
    ]
