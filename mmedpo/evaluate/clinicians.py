"""Compare the consensus with clinicians: their ratings in a table, the run's relevances beside them."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from io import StringIO
from pathlib import Path
from statistics import fmean
from typing import Any

from mmedpo.core.machine.disk import guard_writes
from mmedpo.core.privacy import private_files
from mmedpo.core.records import Pair, WeightedPair, digest
from mmedpo.data.csv_files import csv_rows
from mmedpo.data.tables import TableRow, collect_rows
from mmedpo.errors import DataError
from mmedpo.evaluate.bootstrap import DRAWS
from mmedpo.store.run_files.reader import read_pairs
from mmedpo.store.run_folder import write_text

SCALE = 10  # ratings are from 0 to this
SHEET = ("pair", "hash", "question", "chosen_image", "rejected_image", "chosen", "rejected", "rating")


@dataclass(frozen=True)
class RatedPair:
    """A pair that both have rated."""

    group: str  # patient, else image: what is resampled together
    ours: float  # 0 to 10
    theirs: float  # the mean of the clinicians who rated it


@dataclass(frozen=True)
class ClinicianRating:
    """A row of the clinicians' table."""

    pair: str
    value: float | None  # None: not rated yet
    hash: str  # of the pair that was rated; "" where the table has none


def pair_hash(pair: Pair) -> str:
    """Hash all that a clinician sees of a pair: the question, both films, both answers."""
    sides = [(*(image.sha256 for image in side.images), side.answer) for side in (pair.chosen, pair.rejected)]
    return digest(pair.case.question, *sides)[:12]


def write_sheet(folder: Path, path: Path) -> int:
    """Write a table for clinicians to fill in, a row a pair of a run; return how many. Raises DataError."""
    if path.exists():
        raise DataError(f"{path}: is there already, perhaps with ratings in it; name a new file")
    pairs = [item.pair for item in read_pairs(folder)]
    text = StringIO()
    table = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
    table.writerow(SHEET)
    for pair in pairs:
        sides = (pair.chosen, pair.rejected)
        films, answers = (
            ("; ".join(image.path for image in side.images) for side in sides),
            (side.answer for side in sides),
        )
        table.writerow([pair.id, pair_hash(pair), pair.case.question, *films, *answers, ""])
    with private_files(any(pair.case.restricted for pair in pairs)), guard_writes(path):
        write_text(path, text.getvalue())
    return len(pairs)


def compare_with_clinicians(folder: Path, table: Path) -> dict[str, Any]:
    """Return Spearman's correlation and the weighted kappa of a run's relevances with clinicians' ratings.

    The table is a CSV file with the columns `pair` and `rating` (0 to 10), a row a rating; several of one pair are
    averaged, and rows without a rating counted. A column `hash`, as a sheet of ours has it, says which pair was rated:
    one that differs now is refused. Kappa has quadratic weights and rounds to whole numbers. Intervals (95 %) resample
    patients, else images. Raises DataError with file and line.
    """
    ours = {item.pair.id: item for item in read_pairs(folder)}
    ratings = collect_rows(map(partial(_read_rating, ours), csv_rows(table, require=_require_columns)))
    given = [rating for rating in ratings if rating.value is not None]
    rated = list(_match_ratings(ours, given, table))
    measures: dict[str, Callable[[Sequence[RatedPair]], float | None]] = {"spearman": spearman, "weighted_kappa": kappa}
    result: dict[str, Any] = {"pairs": len(rated), "groups": len({one.group for one in rated})}
    result |= {
        "rows_not_rated": len(ratings) - len(given),
        "ratings_without_hash": sum(not one.hash for one in given),
    }
    return result | {name: _bootstrap_interval(measure, rated) for name, measure in measures.items()}


def _require_columns(names: Sequence[str], place: str) -> None:
    if missing := {"pair", "rating"} - set(names):
        raise DataError(f"{place}: has no column {sorted(missing)[0]!r}; wanted are 'pair' and 'rating'")


def _read_rating(ours: Mapping[str, WeightedPair], row: TableRow) -> ClinicianRating:
    """Read a row. Raises DataError when its pair is not in the run, or another by now."""
    name, rated_hash = row.text("pair"), row.get("hash")
    if name not in ours:
        raise row.wrong(f"the pair {name!r} is not in the run")
    if rated_hash and rated_hash != pair_hash(ours[name].pair):
        raise row.wrong(
            f"the pair {name!r} is not the one that was rated: it has changed; take the row out or rate anew"
        )
    return ClinicianRating(name, _read_value(row), rated_hash)


def _read_value(row: TableRow) -> float | None:
    text = row.get("rating")
    try:
        value = float(text) if text else None
    except ValueError:
        raise row.wrong(f"rating {text!r} is no number") from None
    if value is not None and not 0 <= value <= SCALE:
        raise row.wrong(f"rating {text} is not from 0 to {SCALE}")
    return value


def _match_ratings(
    ours: Mapping[str, WeightedPair], ratings: Sequence[ClinicianRating], table: Path
) -> Iterator[RatedPair]:
    by_pair: dict[str, list[float]] = {}
    for rating in ratings:
        by_pair.setdefault(rating.pair, []).append(rating.value or 0.0)
    means = [(ours[name], fmean(values)) for name, values in by_pair.items()]
    rated = [(item, theirs) for item, theirs in means if item.score.relevance is not None]
    if len(rated) < 3:
        raise DataError(f"{table}: {len(rated)} of its pairs have a relevance in the run; at least 3 are needed")
    for item, theirs in rated:
        yield RatedPair(item.pair.case.group or item.pair.case.id, SCALE * float(item.score.relevance or 0), theirs)


def spearman(rated: Sequence[RatedPair]) -> float | None:
    """Return the rank correlation; None where a side is all alike."""
    from scipy.stats import spearmanr

    ours, theirs = [one.ours for one in rated], [one.theirs for one in rated]
    if len(set(ours)) < 2 or len(set(theirs)) < 2:
        return None
    return float(spearmanr(ours, theirs).statistic)


def kappa(rated: Sequence[RatedPair]) -> float | None:
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


def _bootstrap_interval(
    measure: Callable[[Sequence[RatedPair]], float | None], rated: Sequence[RatedPair]
) -> dict[str, Any]:
    import numpy as np

    groups: dict[str, list[RatedPair]] = {}
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
