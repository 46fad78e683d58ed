"""Check what parts return, where it enters the pipeline, and blame a breach on the plugin by name."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from mmedpo.errors import DataError, PluginError
from mmedpo.parts import Dispreference
from mmedpo.plugins import Found
from mmedpo.records import Case, Drop, Pair, Region, Remark, Score


def blame(found: Found, message: str) -> PluginError:
    """Make the error that names the plugin, its package and version."""
    return PluginError(f"{found}: {message}")


def check_length(found: Found, verb: str, results: Any, expected: int) -> None:
    """Require a list with one result an item."""
    if not isinstance(results, list | tuple):
        raise blame(found, f"{verb} returned {type(results).__name__}, not a list")
    if len(results) != expected:
        raise blame(found, f"{verb} returned {len(results)} results for {expected} items")


def check_read(found: Found, items: Sequence[Case | Pair | Drop | Remark]) -> None:
    """Require cases or pairs, not both, with ids that are unique and texts that are there."""
    wrong = [item for item in items if not isinstance(item, Case | Pair | Drop | Remark)]
    if wrong:
        raise blame(found, f"read yielded {type(wrong[0]).__name__}, not Case, Pair, Drop or Remark")
    records = [item for item in items if isinstance(item, Case | Pair)]
    if len({type(item) for item in records}) > 1:
        raise blame(found, "read yielded cases and pairs; it must yield one of them")
    twice = [name for name, count in Counter(item.id for item in records).items() if count > 1]
    if twice:
        raise DataError(f"{found}: id {twice[0]!r} stands twice; ids must be unique")
    for item in records:
        _check_case(found, item.case if isinstance(item, Pair) else item)
        if isinstance(item, Pair):
            check_pair(found, item)
    if not records:
        raise DataError(f"{found}: there is nothing to read{left_out(items)}")


def left_out(items: Sequence[Any]) -> str:
    """Say why nothing was left of a data set, its reasons counted."""
    reasons = Counter(item.reason for item in items if isinstance(item, Drop))
    return "; left out: " + ", ".join(f"{count:,} {reason}" for reason, count in reasons.items()) if reasons else ""


def _check_case(found: Found, case: Case) -> None:
    for name in ("id", "question", "answer"):
        if not getattr(case, name).strip():
            raise DataError(f"{found}: case {case.id!r} has an empty {name}")


def check_regions(found: Found, case: Case, regions: Any) -> None:
    """Require regions with a box in order and a confidence in [0, 1]."""
    if not isinstance(regions, list | tuple) or not all(isinstance(item, Region) for item in regions):
        raise blame(found, f"localize gave no list of Region for case {case.id!r}")
    for region in regions:
        left, top, right, bottom = region.box
        if not (left < right and top < bottom and all(map(math.isfinite, region.box))):
            raise blame(found, f"case {case.id!r} has a region with the empty box {region.box}")
        if not 0 <= region.confidence <= 1:
            raise blame(found, f"case {case.id!r} has a region with confidence {region.confidence}, outside [0, 1]")


def check_made(found: Found, part: Dispreference, item: Any, ids: set[str]) -> None:
    """Require a pair or drop of a case of the slice, of the kind that the part makes."""
    if not isinstance(item, Pair | Drop):
        raise blame(found, f"disprefer yielded {type(item).__name__}, not Pair or Drop")
    case_id = item.case.id if isinstance(item, Pair) else item.case_id
    if case_id not in ids:
        raise blame(found, f"disprefer yielded case {case_id!r}, which it was not given")
    if isinstance(item, Pair):
        if item.kind != part.makes:
            raise blame(found, f"pair of case {case_id!r} is of kind {item.kind!r}; the part makes {part.makes!r}")
        check_pair(found, item)


def check_pair(found: Found, pair: Pair) -> None:
    """Require two answers that are there and two sides that differ where their kind says."""
    for name, side in (("chosen", pair.chosen), ("rejected", pair.rejected)):
        if not side.answer.strip():
            raise blame(found, f"pair {pair.id!r} has an empty {name} answer")
    same_image = pair.chosen.image.sha256 == pair.rejected.image.sha256
    same_answer = pair.chosen.answer.strip() == pair.rejected.answer.strip()
    if same_image and pair.kind == "image" and same_answer:
        raise blame(found, f"pair {pair.id!r} is an image pair with an unchanged image")
    if pair.relevance is not None and not 0 <= pair.relevance <= 1:
        raise blame(found, f"pair {pair.id!r} has relevance {pair.relevance}, outside [0, 1]")


def check_score(found: Found, pair: Pair, score: Any) -> None:
    """Require a score whose relevance is in [0, 1], or None."""
    if not isinstance(score, Score):
        raise blame(found, f"score gave {type(score).__name__}, not Score, for pair {pair.id!r}")
    if score.relevance is not None and not 0 <= score.relevance <= 1:
        raise blame(found, f"pair {pair.id!r} got relevance {score.relevance}, outside [0, 1]")


def check_weights(found: Found, weights: Sequence[float]) -> None:
    """Require finite weights of at least 0."""
    for index, weight in enumerate(weights):
        if not (math.isfinite(weight) and weight >= 0):
            raise blame(found, f"weigh gave {weight} for score {index}; a weight is finite and at least 0")


def check_answer(found: Found, case: Case, answer: Any) -> None:
    """Require a text; an empty one counts as unparsed later, it is the model's right."""
    if not isinstance(answer, str):
        raise blame(found, f"answer gave {type(answer).__name__}, not a text, for case {case.id!r}")
