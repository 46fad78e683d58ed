"""Check what parts return, where it enters the pipeline, and blame a breach on the plugin by name.

Whatever comes out of here is of the types that the contracts name: finite numbers of Python's own, texts that a file
can hold, and JSON where JSON is meant.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, get_args

from mmedpo.core import plain
from mmedpo.core.answers import Answer, was_cut
from mmedpo.core.disk import explain_disk_error
from mmedpo.core.images import ImageRef
from mmedpo.core.records import Case, CaseKind, Drop, Pair, PairKind, Region, Remark, Score, Side
from mmedpo.errors import DataError, MmedpoError, PluginError, RecipeError
from mmedpo.registry.contracts import Dispreference
from mmedpo.registry.discovery import PluginInfo

Yielded = Case | Pair | Drop | Remark


def make_plugin_error(found: PluginInfo, message: str) -> PluginError:
    """Make the error that names the plugin, its package and version."""
    return PluginError(f"{found}: {message}")


@contextmanager
def blame_part(found: PluginInfo, lower: str) -> Iterator[None]:
    """Say whose error it was; for memory that ran out, say what to lower."""
    try:
        yield
    except (MmedpoError, KeyboardInterrupt):
        raise
    except Exception as error:
        if out_of_memory(error):
            raise RecipeError(f"out of memory in {found}: lower {lower}") from error
        if refused := explain_disk_error(error):
            raise refused from error
        raise PluginError(f"{found} failed: {type(error).__name__}: {error}") from error


def out_of_memory(error: BaseException) -> bool:
    """Tell whether torch or the system had no memory left."""
    text = str(error)
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or "not enough memory" in text
        or "can't allocate memory" in text
    )


def check_length(found: PluginInfo, verb: str, results: Any, expected: int) -> None:
    """Require a list with one result an item."""
    if not isinstance(results, list | tuple):
        raise make_plugin_error(found, f"{verb} returned {type(results).__name__}, not a list")
    if len(results) != expected:
        raise make_plugin_error(found, f"{verb} returned {len(results)} results for {expected} items")


def _plain(found: PluginInfo, what: str, check: Callable[[Any], Any], value: Any) -> Any:
    """Return a value as one of the plain ones makes it, or blame who gave it."""
    try:
        return check(value)
    except ValueError as error:
        raise make_plugin_error(found, f"{what} is {error}") from None


def check_json(found: PluginInfo, what: str, value: Any) -> dict[str, Any]:
    """Require a mapping of names to JSON values: notes, evidence, a summary."""
    if not isinstance(value, Mapping):
        raise make_plugin_error(found, f"{what} is {plain.describe_value(value)}, not a mapping")
    made: dict[str, Any] = _plain(found, what, plain.require_json, value)
    return made


# --- readers -----------------------------------------------------------------------------------------------------


def check_record(found: PluginInfo, item: Any) -> Yielded:
    """Require a case, a pair, a drop or a remark whose fields are what they say."""
    if isinstance(item, Case):
        return _case(found, item)
    if isinstance(item, Pair):
        return _pair(found, replace(item, case=_case(found, item.case) if isinstance(item.case, Case) else item.case))
    if isinstance(item, Drop):
        return _drop(found, item)
    if isinstance(item, Remark):
        _plain(found, f"remark on case {plain.describe_value(item.case_id)}", plain.require_text, item.text)
        return item
    raise make_plugin_error(found, f"read yielded {type(item).__name__}, not Case, Pair, Drop or Remark")


def _case(found: PluginInfo, case: Case) -> Case:
    name = f"case {plain.describe_value(case.id)}" if not isinstance(case.id, str) else f"case {case.id!r}"
    for field in ("id", "question", "answer", "group"):
        _plain(found, f"{field} of {name}", plain.require_text, getattr(case, field))
    if case.kind not in get_args(CaseKind):
        raise make_plugin_error(
            found, f"kind of {name} is {plain.describe_value(case.kind)}, not one of {', '.join(get_args(CaseKind))}"
        )
    if not isinstance(case.restricted, bool):
        raise make_plugin_error(
            found, f"restricted of {name} is {plain.describe_value(case.restricted)}, not True or False"
        )
    if not isinstance(case.about, list | tuple):
        raise make_plugin_error(found, f"about of {name} is {plain.describe_value(case.about)}, not a tuple of texts")
    about = tuple(_plain(found, f"about of {name}", plain.require_text, label) for label in case.about)
    _picture(found, f"image of {name}", case.image)
    regions = tuple(check_regions(found, case, case.regions, "read"))
    return replace(case, about=about, regions=regions, notes=check_json(found, f"notes of {name}", case.notes))


def _picture(found: PluginInfo, what: str, picture: Any) -> None:
    if not (isinstance(picture, ImageRef) and isinstance(picture.path, str) and isinstance(picture.sha256, str)):
        raise make_plugin_error(found, f"{what} is {plain.describe_value(picture)}, not an ImageRef")


def _drop(found: PluginInfo, drop: Drop) -> Drop:
    _plain(found, "case_id of a drop", plain.require_text, drop.case_id)
    _plain(found, f"reason of the drop of case {drop.case_id!r}", plain.require_text, drop.reason)
    return drop


def _pair(found: PluginInfo, pair: Pair) -> Pair:
    """Require the types of a pair's own fields; what its sides say is checked when its images are known."""
    if not isinstance(pair.case, Case):
        raise make_plugin_error(found, f"case of a pair is {plain.describe_value(pair.case)}, not a Case")
    name = f"a pair of case {pair.case.id!r}"
    for which in ("chosen", "rejected"):
        side = getattr(pair, which)
        if not isinstance(side, Side):
            raise make_plugin_error(found, f"{which} side of {name} is {plain.describe_value(side)}, not a Side")
        _picture(found, f"{which} image of {name}", side.image)
        _plain(found, f"{which} answer of {name}", plain.require_text, side.answer)
    if pair.kind not in get_args(PairKind):
        raise make_plugin_error(found, f"kind of {name} is {plain.describe_value(pair.kind)}, not text or image")
    if not isinstance(pair.number, int) or not isinstance(pair.made_by, str):
        raise make_plugin_error(
            found, f"number and made_by of {name} are {pair.number!r} and {pair.made_by!r}: a number, a text"
        )
    relevance = None if pair.relevance is None else _share(found, f"relevance of {name}", pair.relevance)
    return replace(pair, relevance=relevance, notes=check_json(found, f"notes of {name}", pair.notes))


def _share(found: PluginInfo, what: str, value: Any) -> float:
    """Require a number in [0, 1]."""
    share: float = value if isinstance(value, float) else _plain(found, what, plain.require_number, value)
    if not 0 <= share <= 1:
        raise make_plugin_error(found, f"{what} is {share}, outside [0, 1]")
    return float(share)


def check_read(found: PluginInfo, items: Sequence[Yielded]) -> None:
    """Require cases or pairs, not both, with ids that are unique and texts that are there."""
    records = [item for item in items if isinstance(item, Case | Pair)]
    if len({type(item) for item in records}) > 1:
        raise make_plugin_error(found, "read yielded cases and pairs; it must yield one of them")
    twice = [name for name, count in Counter(item.id for item in records).items() if count > 1]
    if twice:
        raise DataError(f"{found}: id {twice[0]!r} stands twice; ids must be unique")
    for item in records:
        _check_texts(found, item.case if isinstance(item, Pair) else item)
        if isinstance(item, Pair):
            check_pair(found, item)
    if not records:
        raise DataError(f"{found}: there is nothing to read{left_out(items)}")


def left_out(items: Sequence[Any]) -> str:
    """Say why nothing was left of a data set, its reasons counted."""
    reasons = Counter(item.reason for item in items if isinstance(item, Drop))
    return "; left out: " + ", ".join(f"{count:,} {reason}" for reason, count in reasons.items()) if reasons else ""


def _check_texts(found: PluginInfo, case: Case) -> None:
    for name in ("id", "question", "answer"):
        if not getattr(case, name).strip():
            raise DataError(f"{found}: case {case.id!r} has an empty {name}")


# --- localizers --------------------------------------------------------------------------------------------------


def check_regions(found: PluginInfo, case: Case, regions: Any, verb: str = "localize") -> list[Region]:
    """Require regions with a box in order and a confidence in [0, 1]."""
    if not isinstance(regions, list | tuple) or not all(isinstance(item, Region) for item in regions):
        raise make_plugin_error(found, f"{verb} gave no list of Region for case {case.id!r}")
    return [_region(found, f"case {case.id!r} has a region", region) for region in regions]


def _region(found: PluginInfo, has: str, region: Region) -> Region:
    _plain(found, f"{has} whose label", plain.require_text, region.label)
    if not isinstance(region.box, list | tuple) or len(region.box) != 4:
        raise make_plugin_error(found, f"{has} whose box is {plain.describe_value(region.box)}, not four numbers")
    box = [_plain(found, f"{has} with a box that", plain.require_number, edge) for edge in region.box]
    left, top, right, bottom = box
    if not (left < right and top < bottom):
        raise make_plugin_error(found, f"{has} with the empty box {region.box}")
    confidence = _plain(found, f"{has} whose confidence", plain.require_number, region.confidence)
    if not 0 <= confidence <= 1:
        raise make_plugin_error(found, f"{has} with confidence {confidence}, outside [0, 1]")
    if region.mask is not None:
        _picture(found, f"{has} whose mask", region.mask)
    return replace(region, box=(left, top, right, bottom), confidence=confidence)


# --- dispreferences ----------------------------------------------------------------------------------------------


def check_made(
    found: PluginInfo,
    part: Dispreference,
    items: Any,
    cases: Sequence[Case],
    adopt: Callable[[Pair], Pair] = lambda pair: pair,
) -> Iterator[Pair | Drop]:
    """Require of each case pairs of the kind that the part makes, as many as it says at most, or one drop.

    `adopt` gives a pair's pictures their hashes and returns the pair as the run has it.
    """
    given, pairs, dropped = {case.id: case for case in cases}, Counter[str](), set[str]()
    for item in _each(found, items):
        made = _made(found, part, item, given, adopt)
        name = made.case.id if isinstance(made, Pair) else made.case_id
        if name in dropped or (isinstance(made, Drop) and name in pairs):
            raise make_plugin_error(found, f"disprefer yielded a drop of case {name!r} and more beside it")
        if isinstance(made, Drop):
            dropped.add(name)
        else:
            pairs[name] += 1
        if pairs[name] > part.pairs_a_case:
            says = f"it says pairs_a_case = {part.pairs_a_case}, by which costs are counted"
            raise make_plugin_error(found, f"disprefer yielded {pairs[name]} pairs of case {name!r}; {says}")
        yield made
    if lost := [name for name in given if not pairs[name] and name not in dropped]:
        some = f"{len(lost)} of {len(given)} cases, the first is {lost[0]!r}"
        raise make_plugin_error(found, f"disprefer yielded neither a pair nor a Drop with its reason for {some}")


def _each(found: PluginInfo, items: Any) -> Iterable[Any]:
    if not isinstance(items, Iterable) or isinstance(items, str | Mapping):
        raise make_plugin_error(found, f"disprefer returned {type(items).__name__}, not pairs and drops")
    return items


def _made(
    found: PluginInfo, part: Dispreference, item: Any, given: Mapping[str, Case], adopt: Callable[[Pair], Pair]
) -> Pair | Drop:
    if not isinstance(item, Pair | Drop):
        raise make_plugin_error(found, f"disprefer yielded {type(item).__name__}, not Pair or Drop")
    made = _pair(found, item) if isinstance(item, Pair) else _drop(found, item)
    name = made.case.id if isinstance(made, Pair) else made.case_id
    if name not in given:
        raise make_plugin_error(found, f"disprefer yielded case {plain.describe_value(name)}, which it was not given")
    if isinstance(made, Drop):
        return made
    if made.case != given[name]:
        raise make_plugin_error(found, f"pair of case {name!r} has another case than it was given; pass it on as it is")
    if made.kind != part.makes:
        raise make_plugin_error(found, f"pair of case {name!r} is of kind {made.kind!r}; the part makes {part.makes!r}")
    pair = adopt(made)
    check_pair(found, pair)
    _check_films(found, pair, given.values())
    return pair


def _check_films(found: PluginInfo, pair: Pair, cases: Iterable[Case]) -> None:
    """Require that what is preferred is of this case, and that a text pair changes the answer alone."""
    own, chosen = pair.case.image.sha256, pair.chosen.image.sha256
    if chosen != own and chosen in {case.image.sha256 for case in cases}:
        raise make_plugin_error(found, f"pair of case {pair.case.id!r} has the film of another case on its chosen side")
    if pair.kind == "text" and pair.rejected.image.sha256 != chosen:
        raise make_plugin_error(found, f"pair of case {pair.case.id!r} is a text pair with two images")


def check_pair(found: PluginInfo, pair: Pair) -> None:
    """Require two answers that are there and two sides that differ where their kind says."""
    for name, side in (("chosen", pair.chosen), ("rejected", pair.rejected)):
        if not side.answer.strip():
            raise make_plugin_error(found, f"pair {pair.id!r} has an empty {name} answer")
    same_image = pair.chosen.image.sha256 == pair.rejected.image.sha256
    same_answer = pair.chosen.answer.strip() == pair.rejected.answer.strip()
    if same_image and pair.kind == "image" and same_answer:
        raise make_plugin_error(found, f"pair {pair.id!r} is an image pair with an unchanged image")


# --- scorers, weightings, backbones ------------------------------------------------------------------------------


def check_scores(found: PluginInfo, pairs: Sequence[Pair], scores: Any) -> list[Score]:
    """Require a score of each pair, whose relevance is in [0, 1] or None and whose evidence is JSON."""
    check_length(found, "score", scores, len(pairs))
    return [_score(found, pair, score) for pair, score in zip(pairs, scores, strict=True)]


def _score(found: PluginInfo, pair: Pair, score: Any) -> Score:
    if not isinstance(score, Score):
        raise make_plugin_error(found, f"score gave {type(score).__name__}, not Score, for pair {pair.id!r}")
    what = f"relevance of pair {pair.id!r}"
    relevance = None if score.relevance is None else _share(found, what, score.relevance)
    return replace(
        score, relevance=relevance, evidence=check_json(found, f"evidence of pair {pair.id!r}", score.evidence)
    )


def check_weights(found: PluginInfo, weights: Any, expected: int) -> list[float]:
    """Require a finite weight of at least 0 for each score, and not 0 for all of them."""
    check_length(found, "weigh", weights, expected)
    made: list[float] = [
        _plain(found, f"weight of score {index}", plain.require_number, weight) for index, weight in enumerate(weights)
    ]
    for index, weight in enumerate(made):
        if weight < 0:
            raise make_plugin_error(found, f"weight of score {index} is {weight}; a weight is finite and at least 0")
    if made and not any(made):
        raise make_plugin_error(
            found, f"gives all {len(made)} pairs the weight 0, so that nothing could be learned from any"
        )
    return made


def check_answers(found: PluginInfo, cases: Sequence[Case], answers: Any) -> list[Answer]:
    """Require a text of each case; an empty one, or half a character in it, is the model's doing, not the part's."""
    check_length(found, "answer", answers, len(cases))
    texts = [
        _plain(found, f"answer to case {case.id!r}", plain.require_answer, answer)
        for case, answer in zip(cases, answers, strict=True)
    ]
    return [Answer(text, was_cut(said)) for text, said in zip(texts, answers, strict=True)]


def check_encoding(encoding: Any) -> None:
    """Require token ids with an answer in them. Raises ValueError: what encodes is blamed where it is called."""
    import numpy as np

    ids, start = np.asarray(encoding.ids), encoding.answer_start
    if ids.ndim != 1 or ids.dtype.kind not in "iu" or (ids < 0).any():
        raise ValueError(f"encode gave {plain.describe_value(encoding.ids)} for ids, not a list of token ids")
    if not (isinstance(start, int) and 0 < start < len(ids)):
        raise ValueError(f"encode gave answer_start {plain.describe_value(start)} of {len(ids)} token ids")
    if not isinstance(encoding.vision, Mapping):
        raise ValueError(
            f"encode gave {plain.describe_value(encoding.vision)} for vision, not a mapping of names to tensors"
        )
