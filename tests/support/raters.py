"""Raters who know what they think: tables of ratings, as a review page would save them."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from mmedpo import Pair, WeightedPair
from mmedpo.data.ratings import RATING_COLUMNS, hash_shown, name_opaquely

Opinion = dict[str, Any]  # verdict: chosen, rejected, both ...; relevance, readable, comment, presentation


def rating_row(pair: Pair, rater: str, opinion: Opinion, swapped: bool = False) -> dict[str, Any]:
    """Return the row of a pair that was shown to a rater, the rejected side as A where it is swapped."""
    sides = (pair.rejected, pair.chosen) if swapped else (pair.chosen, pair.rejected)
    verdict = opinion.get("verdict", "")
    if verdict in ("chosen", "rejected"):
        verdict = "A" if (verdict == "chosen") != swapped else "B"
    shown = {"rater": rater, "pair": name_opaquely(pair), "digest": hash_shown(pair, *sides)}
    return {**shown, **opinion, "verdict": verdict}


def write_ratings(path: Path, rows: Iterable[dict[str, Any]]) -> Path:
    """Write a table."""
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        table = csv.DictWriter(file, RATING_COLUMNS)
        table.writeheader()
        table.writerows(rows)
    return path


def rate_all(
    path: Path, items: Iterable[WeightedPair], rater: str, opine: Callable[[int, WeightedPair], Opinion]
) -> Path:
    """Write what a rater says of each pair, every second one shown the other way round."""
    return write_ratings(
        path, [rating_row(item.pair, rater, opine(at, item), at % 2 == 1) for at, item in enumerate(items)]
    )
