"""How far voters agree over a set of pairs."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from mmedpo import Pair, Score

APART = 4  # votes this far apart are a disagreement
SHOWN = 10  # disagreements that are named


def measure_agreement(voters: Sequence[str], pairs: Sequence[Pair], scores: Sequence[Score]) -> dict[str, Any]:
    """Return Krippendorff's alpha of first and of last votes, rank correlations, missing votes and disagreements.

    First votes are each voter's own where voters speak apart; in a debate all but the first speaker have heard
    another, which raises agreement. Last votes are what a debate ended with.
    """
    tables = [_votes_by_pair(scores, first) for first in (True, False)]
    firsts = tables[0]
    result: dict[str, Any] = {
        "pairs": len(scores),
        "votes": {name: sum(name in votes for votes in firsts) for name in voters},
        "missing": _count_missing(scores),
        "mean": {name: _mean([votes[name] for votes in firsts if name in votes]) for name in voters},
    }
    if len(voters) > 1:
        for key, level in (("alpha", "interval"), ("ordinal_alpha", "ordinal")):
            both = [_alpha(voters, table, level) for table in tables]
            result[key] = dict(zip(("first", "last"), both, strict=True))
        result["rank_correlation"] = [
            {"voters": [a, b], "value": _rank_correlation(firsts, a, b)} for a, b in combinations(voters, 2)
        ]
        apart = [at for at, votes in enumerate(firsts) if _vote_gap(votes) >= APART]
        result["apart"] = len(apart)
        widest = sorted(apart, key=lambda at: -_vote_gap(firsts[at]))[:SHOWN]
        result["furthest_apart"] = [{"pair": pairs[at].id, "votes": firsts[at]} for at in widest]
        result["agreed"] = sum(bool(score.evidence.get("agreed")) for score in scores)
    return result


def _votes_by_pair(scores: Sequence[Score], first: bool) -> list[dict[str, int]]:
    """Return each pair's votes by voter: a voter's first, or its last."""
    table = []
    for score in scores:
        cast = [(vote["voter"], vote["score"]) for vote in score.evidence.get("votes", ()) if vote["score"] is not None]
        table.append(dict(reversed(cast) if first else cast))  # of equal keys, a dictionary keeps the later
    return table


def _vote_gap(votes: Mapping[str, int]) -> int:
    return max(votes.values()) - min(votes.values()) if votes else 0


def _count_missing(scores: Sequence[Score]) -> list[dict[str, Any]]:
    """Count the turns without a vote, by voter and reason."""
    votes = (vote for score in scores for vote in score.evidence.get("votes", ()))
    counts = Counter((vote["voter"], vote["reason"]) for vote in votes if vote["score"] is None)
    return [{"voter": voter, "reason": reason, "count": count} for (voter, reason), count in counts.items()]


def _alpha(voters: Sequence[str], table: Sequence[Mapping[str, int]], level: str) -> float | None:
    """Return Krippendorff's alpha for interval or ordinal data; None where it is not defined."""
    import krippendorff
    import numpy as np

    rated = [votes for votes in table if len(votes) > 1]
    values = np.array([[votes.get(name, math.nan) for votes in rated] for name in voters], dtype=float)
    if not rated or len(np.unique(values[~np.isnan(values)])) < 2:
        return None
    return round(float(krippendorff.alpha(reliability_data=values, level_of_measurement=level)), 4)


def _rank_correlation(table: Sequence[Mapping[str, int]], a: str, b: str) -> float | None:
    """Return Spearman's rank correlation of two voters; None where it is not defined."""
    from scipy.stats import spearmanr

    both = [(votes[a], votes[b]) for votes in table if a in votes and b in votes]
    if any(len(set(side)) < 2 for side in zip(*both, strict=True)) or len(both) < 3:
        return None
    return round(float(spearmanr(*zip(*both, strict=True)).statistic), 4)


def _mean(values: Sequence[int]) -> float | None:
    return round(sum(values) / len(values), 3) if values else None
