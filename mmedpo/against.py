"""Compare the consensus with clinicians: their ratings in a table, the run's relevances beside them."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from mmedpo.curate import read_pairs
from mmedpo.errors import DataError
from mmedpo.intervals import DRAWS
from mmedpo.records import Weighted

SCALE = 10  # ratings are from 0 to this


@dataclass(frozen=True)
class Rated:
    """A pair that both have rated."""

    group: str  # patient, else image: what is resampled together
    ours: float  # 0 to 10
    theirs: float  # the mean of the clinicians who rated it


def compare_with(folder: Path, table: Path) -> dict[str, Any]:
    """Return Spearman's correlation and the weighted kappa of a run's relevances with clinicians' ratings.

    The table is a CSV file with the columns `pair` and `rating` (0 to 10), a row a rating; several of one pair are
    averaged. Kappa has quadratic weights and rounds to whole numbers. Intervals (95 %) resample patients, else images.
    Raises DataError with file and line.
    """
    rated = list(_rated(read_pairs(folder), _ratings(table), table))
    measures: dict[str, Callable[[Sequence[Rated]], float | None]] = {"spearman": spearman, "weighted kappa": kappa}
    result: dict[str, Any] = {"pairs": len(rated), "groups": len({one.group for one in rated})}
    return result | {name: _with_interval(measure, rated) for name, measure in measures.items()}


def _ratings(path: Path) -> dict[str, list[float]]:
    ratings: dict[str, list[float]] = {}
    try:
        file = path.open(encoding="utf-8-sig", newline="")
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None
    with file:
        rows = csv.DictReader(file)
        missing = {"pair", "rating"} - set(rows.fieldnames or ())
        if missing:
            raise DataError(f"{path}:1: has no column {sorted(missing)[0]!r}; wanted are 'pair' and 'rating'")
        for row in rows:
            ratings.setdefault(row["pair"] or "", []).append(_rating(row["rating"], f"{path}:{rows.line_num}"))
    return ratings


def _rating(text: str | None, place: str) -> float:
    try:
        value = float(text or "")
    except ValueError:
        raise DataError(f"{place}: rating {text!r} is no number") from None
    if not 0 <= value <= SCALE:
        raise DataError(f"{place}: rating {text} is not from 0 to {SCALE}")
    return value


def _rated(pairs: Sequence[Weighted], ratings: Mapping[str, Sequence[float]], table: Path) -> Iterator[Rated]:
    ours = {item.pair.id: item for item in pairs}
    unknown = [name for name in ratings if name not in ours]
    if unknown:
        raise DataError(f"{table}: {len(unknown)} of its pairs are not in the run, the first is {unknown[0]!r}")
    found = [(ours[name], fmean(values)) for name, values in ratings.items()]
    rated = [(item, theirs) for item, theirs in found if item.score.relevance is not None]
    if len(rated) < 3:
        raise DataError(f"{table}: {len(rated)} of its pairs have a relevance in the run; at least 3 are needed")
    for item, theirs in rated:
        yield Rated(item.pair.case.group or item.pair.case.id, SCALE * float(item.score.relevance or 0), theirs)


def spearman(rated: Sequence[Rated]) -> float | None:
    """Return the rank correlation; None where a side is all alike."""
    from scipy.stats import spearmanr

    ours, theirs = [one.ours for one in rated], [one.theirs for one in rated]
    if len(set(ours)) < 2 or len(set(theirs)) < 2:
        return None
    return float(spearmanr(ours, theirs).statistic)


def kappa(rated: Sequence[Rated]) -> float | None:
    """Return Cohen's kappa with quadratic weights over whole numbers from 0 to 10; None where it is not defined."""
    import numpy as np

    table = np.zeros((SCALE + 1, SCALE + 1))
    for one in rated:
        table[round(one.ours), round(one.theirs)] += 1
    table /= len(rated)
    steps = np.arange(SCALE + 1)
    apart = (steps[:, None] - steps) ** 2
    chance = (apart * np.outer(table.sum(1), table.sum(0))).sum()
    return float(1 - (apart * table).sum() / chance) if chance else None


def _with_interval(measure: Callable[[Sequence[Rated]], float | None], rated: Sequence[Rated]) -> dict[str, Any]:
    import numpy as np

    groups: dict[str, list[Rated]] = {}
    for one in rated:
        groups.setdefault(one.group, []).append(one)
    blocks, generator = list(groups.values()), np.random.default_rng(0)
    draws = []
    for _ in range(DRAWS):
        some = [one for at in generator.integers(len(blocks), size=len(blocks)) for one in blocks[at]]
        if (value := measure(some)) is not None:
            draws.append(value)
    low, high = np.percentile(draws, [2.5, 97.5]).tolist() if draws else (None, None)
    return {"value": measure(rated), "low": low, "high": high}
