"""Compare a run's relevances with what clinicians say: one result, as far as their ratings go by now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmedpo.evaluate.bootstrap import resample_measures, value_intervals
from mmedpo.evaluate.clinicians.agreement import RIGHT, AgreementMeasures
from mmedpo.evaluate.clinicians.coefficients import LEAST
from mmedpo.evaluate.clinicians.rated_pairs import RatedPair, RatedRun, match_ratings
from mmedpo.store.run_files.reader import read_pairs

TOLD = 10  # refused rows that are named; the rest are counted
Interval = Mapping[str, float]
WORDS = {
    "spearman": "Spearman",
    "weighted_kappa": "weighted kappa",
    "gap": "apart by",
    "verdict_kappa": "kappa of verdicts",
    "verdict_same": "same verdict",
}
TABLES = {
    "between": "raters with each other",
    "consistency": "raters with themselves, of pairs that came twice",
    "consensus": "relevance of this run with raters",
    "voters": "first votes with the mean of the raters",
}


def compare_with_clinicians(folder: Path, tables: Sequence[Path]) -> dict[str, Any]:
    """Return how far clinicians agree with each other, with themselves, with a run's relevances and with its voters.

    The tables are those that review pages save. Intervals (95 %) resample patients, else images. What too few ratings
    are there for is left out and said under `not_yet`; rows of pairs that the run has not, or has otherwise, under
    `refused`. Raises DataError for rows that are no ratings.
    """
    rated = match_ratings(read_pairs(folder), tables)
    result: dict[str, Any] = {**_count_rows(rated, len(tables)), **_count_opinions(rated)}
    result["wrong"] = [describe_wrong(one) for one in list_wrong(rated.pairs)]
    if not rated.pairs:
        return {**result, "not_yet": ["no row rates a pair of this run"]}
    measures = AgreementMeasures(rated.pairs, rated.raters)
    groups = [one.group for one in rated.pairs]
    (drawn,) = resample_measures(measures, [[measures.rows]], groups, seed=0)
    found = value_intervals(drawn)
    result |= {"own_votes": measures.own_votes, **_name_measures(measures, found)}
    return {**result, "not_yet": list(_say_not_yet(rated, result))}


def _count_rows(rated: RatedRun, files: int) -> dict[str, Any]:
    return {
        "files": files,
        "rows": rated.rows,
        "rows_not_rated": rated.not_rated,
        "rows_replaced": rated.replaced,
        "rows_refused": len(rated.refused),
        "refused": [{"place": one.place, "why": one.why} for one in rated.refused[:TOLD]],
        "pairs": len(rated.pairs),
        "groups": len({one.group for one in rated.pairs}),
    }


def _count_opinions(rated: RatedRun) -> dict[str, Any]:
    """Count what raters said: pairs of each, verdicts and how readable changed films are."""
    opinions = [one for pair in rated.pairs for one in pair.opinions]
    return {
        "raters": {
            name: {
                "pairs": sum(bool(pair.of_rater(name)) for pair in rated.pairs),
                "twice": sum(len(pair.of_rater(name)) > 1 for pair in rated.pairs),
            }
            for name in rated.raters
        },
        "verdicts": dict(Counter(verdict for pair in rated.pairs for verdict in pair.verdicts.values())),
        "readable": dict(Counter(one.rating.readable for one in opinions if one.rating.readable)),
    }


def _name_measures(measures: AgreementMeasures, found: Mapping[str, Interval]) -> dict[str, Any]:
    """Put each interval where the result has it."""
    result: dict[str, Any] = {
        "alpha": {name: found[f"alpha:{name}"] for name in ("relevance", "verdict") if f"alpha:{name}" in found},
        "chosen_right": found.get(RIGHT),
        "between": [],
        "consistency": [],
        "consensus": [],
        "voters": [],
    }
    for number, one in enumerate(measures.comparisons):
        own = {name.partition(":")[2]: value for name, value in found.items() if name.startswith(f"{number}:")}
        result[one.about].append({**one.who, "pairs": measures.count_common(one), **own})
    bins = [
        {**row, "theirs": found[f"calibration:{at}"]}
        for at, row in enumerate(measures.calibration.describe())
        if f"calibration:{at}" in found
    ]
    return {**result, "calibration": {"error": found.get("calibration:error"), "bins": bins}}


def list_wrong(pairs: Sequence[RatedPair]) -> list[RatedPair]:
    """Return the pairs of which a rater finds the rejected side right, those that most do first."""
    named = [(list(one.verdicts.values()).count("rejected"), one) for one in pairs]
    return [one for count, one in sorted(named, key=lambda both: (-both[0], both[1].item.pair.id)) if count]


def describe_wrong(rated: RatedPair) -> dict[str, Any]:
    """Return a pair that clinicians call wrong, with who said what."""
    comments = {one.rating.rater: one.rating.comment for one in rated.opinions if one.rating.comment}
    return {
        "pair": rated.item.pair.id,
        "kind": rated.item.pair.kind,
        "relevance": rated.item.score.relevance,
        "verdicts": rated.verdicts,
        "comments": comments,
    }


def _say_not_yet(rated: RatedRun, result: Mapping[str, Any]) -> Iterator[str]:
    """Say what cannot be computed yet, and what it takes."""
    if len(rated.raters) < 2:
        yield "agreement between raters: one rater so far"
    for about, what in (
        ("between", "agreement of {}"),
        ("consistency", "the own consistency of {}"),
        ("consensus", "agreement of the consensus with {}"),
        ("voters", "agreement of clinicians with {}"),
    ):
        for one in result[about]:
            if one["pairs"] < LEAST:
                yield f"{what.format(name_compared(one))}: {one['pairs']} pairs so far, {LEAST} are needed"


def name_compared(row: Mapping[str, Any]) -> str:
    """Return who is compared in a row of the result."""
    if "raters" in row:
        return " and ".join(row["raters"])
    return str(row.get("voter") or row.get("rater") or "clinicians")
