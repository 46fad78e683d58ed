"""What the cards have in common: front matter above lines, tables, and who made what, without a path of this machine.

A card says what the run's files say and nothing of the moment, so a run that is killed and carried out again ends
with the same cards.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from mmedpo.models.checkpoints import public_name
from mmedpo.store.run_files.counts import describe_count, is_lost
from mmedpo.store.run_files.record import RunRecord

PAPER = "[MMedPO](https://arxiv.org/abs/2412.06141)"
STAGES = ("read", "localize", "disprefer", "score", "weigh")  # that pairs go through


def join_card(metadata: str, lines: Iterable[str]) -> str:
    return f"---\n{metadata.strip()}\n---\n\n" + "\n".join(lines) + "\n"


def table(names: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(names)} |"
    yield f"|{'---|' * len(names)}"
    yield from (f"| {' | '.join(row)} |" for row in rows)


def format_number(value: float | None) -> str:
    return "not defined" if value is None else f"{value:.3f}"


def name_readers(recipe: Mapping[str, Any]) -> str:
    """Name the readers of a recipe's data."""
    return " and ".join(part["use"] for part in recipe["data"])


def join_licenses(licenses: Iterable[str]) -> str:
    """Return the license of what several data sets make up, by the Hub's name; "" where one is not known."""
    known = set(licenses)
    return "" if "" in known else known.pop() if len(known) == 1 else "other"


def list_makers(recipe: Mapping[str, Any]) -> Iterator[str]:
    """Say which parts the pairs went through, without any path of the machine they were made on."""
    steps = {
        "read by": recipe["data"],
        "lesions found by": recipe["localize"],
        "rejected sides made by": recipe["disprefer"],
        "rated by": recipe["score"],
        "weighted by": recipe["weigh"],
    }
    for what, parts in steps.items():
        names = [part["use"] for part in (parts if isinstance(parts, list) else [parts])]
        if names:
            yield f"- {what}: {', '.join(f'`{name}`' for name in names)}"
    if recipe["disprefer"]:
        yield f"- the model to align: {describe_model(recipe['backbone'])}"


def describe_model(backbone: Mapping[str, Any]) -> str:
    checkpoint = str(backbone.get("checkpoint") or "")
    return f"`{backbone['use']}`" + (f" ({public_name(checkpoint)})" if checkpoint else "")


def list_dropped(run: RunRecord, stages: Sequence[str] = STAGES) -> Iterator[str]:
    for stage in stages:
        for count in run.stage(stage).counts:
            if count.count and is_lost(count):
                yield f"- {stage}: {count.count:,} {describe_count(count)}"
