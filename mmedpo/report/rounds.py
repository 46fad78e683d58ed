"""What the page of a run in rounds shows of each: its pairs, its training, its measures beside the start's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mmedpo.report.facts import RunFacts
from mmedpo.report.measures import MeasureRow, make_tables
from mmedpo.store.run_files.measures import HeldOutPairs

KINDS = ("text", "image")


@dataclass(frozen=True)
class RoundRow:
    """What one round made and learned."""

    number: int
    state: str
    pairs: dict[str, int]  # by kind
    trained: int
    held_out: dict[str, HeldOutPairs]  # by kind
    margin: float | None  # of all held-out pairs


def summarize_rounds(rounds: Sequence[RunFacts], count: int) -> dict[str, Any]:
    """Return the section on the rounds of a run that have begun; `count` are asked for."""
    return {
        "rows": [_make_row(facts) for facts in rounds],
        "kinds": [kind for kind in KINDS if any(kind in facts.all_pairs.weights for facts in rounds)],
        "measures": list(_compare_measures(rounds)),
        "measured": [facts.run.round.number for facts in rounds if facts.trained and facts.run.round],
        "count": count,
        "reference": rounds[0].run.round and rounds[0].run.round.reference,
    }


def _make_row(facts: RunFacts) -> RoundRow:
    assert facts.run.round is not None
    training = facts.training
    held = training.validation if training else {}
    return RoundRow(
        number=facts.run.round.number,
        state=facts.state,
        pairs={kind: len(weights) for kind, weights in facts.all_pairs.weights.items()},
        trained=training.trained if training else 0,
        held_out={kind: found for kind, found in held.items() if found.pairs},
        margin=held["all"].margin if "all" in held and held["all"].pairs else None,
    )


def _compare_measures(rounds: Sequence[RunFacts]) -> list[tuple[MeasureRow, list[MeasureRow]]]:
    """Return each measure that some round has otherwise than the start, with its row of each round that is measured."""
    found: dict[tuple[str, str], list[MeasureRow]] = {}
    for facts in rounds:
        for line in (line for table in make_tables(facts) for line in table.lines if line.after is not None):
            found.setdefault((line.use, line.name), []).append(line)
    return [(lines[0], lines) for lines in found.values() if any(line.difference for line in lines)]
