"""The data card, in Hugging Face's format: what pairs are, how they were made, who rated them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean, median
from typing import Any

from mmedpo.core.records import GIVEN, WeightedPair
from mmedpo.exchange.card_text import PAPER, format_number, join_card, list_dropped, list_makers, table
from mmedpo.store.run_files.record import RunRecord

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def data_card(
    pairs: Sequence[WeightedPair], run: RunRecord, *, license: str = "", table: str = "", lost: Sequence[str] = ()
) -> str:
    """Return the card of a set of pairs.

    `table` is the file that `datasets` loads, `lost` what the form they are in does not hold.
    """
    from huggingface_hub import DatasetCardData

    config = {"config_name": "default", "data_files": [{"split": "train", "path": table}]}
    more: dict[str, Any] = {"configs": [config]} if table else {}
    data = DatasetCardData(
        license=license or "unknown",
        pretty_name=f"Preference pairs from {run.recipe['data']['use']}",
        task_categories=["visual-question-answering"],
        size_categories=[next((name for most, name in _SIZES if len(pairs) < most), "n>1M")],
        tags=["mmedpo", "medical", "preference", "dpo", "image"],
        **more,
    )
    return join_card(data.to_yaml(), _about_pairs(pairs, run, license, lost))


def _about_pairs(pairs: Sequence[WeightedPair], run: RunRecord, license: str, lost: Sequence[str]) -> Iterator[str]:
    recipe = run.recipe
    yield f"# Preference pairs from {recipe['data']['use']}"
    yield ""
    yield (
        f"{len(pairs):,} preference pairs for medical visual questions, made by the method of {PAPER} with mmedpo "
        f"{run.packages['mmedpo']}. In each, for one question, the chosen side (an image and an answer) is to be "
        "preferred to the rejected side. Rejected sides are made to be wrong: take none for a statement about an image."
    )
    yield from _restrictions(pairs, license)
    if lost:
        yield from ("", "## What this form does not hold", *(f"- {sentence}." for sentence in lost))
    yield from ("", "## How they were made", *list_makers(recipe), "")
    yield from table(("kind", "made by", "pairs", "mean weight"), _count_pairs(pairs))
    if dropped := list(list_dropped(run)):
        yield from ("", "Left out on the way:", "", *dropped)
    yield from ("", "## Lengths of the answers, in words", "")
    yield from table(("kind", "chosen, mean", "chosen, median", "rejected, mean", "rejected, median"), _lengths(pairs))
    yield from _warn_of_length(pairs)
    yield from ("", "## Who rated them", *_raters(pairs, run.scoring))


def _restrictions(pairs: Sequence[WeightedPair], license: str) -> Iterator[str]:
    count = sum(item.pair.case.restricted for item in pairs)
    yield from ("", "## Restrictions")
    if count:
        yield (
            f"{count:,} of {len(pairs):,} pairs are restricted: made of data that must not leave the machine they are "
            "on. This folder is as restricted as those data; share it with nobody who may not have them."
        )
    else:
        yield "No pair is marked as restricted."
    yield ""
    if license:
        yield f"The data they are made of have the licence `{license}`; what it asks for holds for the pairs as well."
    else:
        yield "The licence of these data is not known here: fill in `license` above before you share them."


def _count_pairs(pairs: Sequence[WeightedPair]) -> Iterator[tuple[str, ...]]:
    weights: dict[tuple[str, str], list[float]] = {}
    for item in pairs:
        weights.setdefault((item.pair.kind, item.pair.made_by), []).append(item.weight)
    for (kind, maker), mine in sorted(weights.items()):
        yield kind, maker, f"{len(mine):,}", f"{fmean(mine):.3f}"


def _lengths(pairs: Sequence[WeightedPair]) -> Iterator[tuple[str, ...]]:
    for kind in sorted({item.pair.kind for item in pairs}):
        sides = list(zip(*_count_words(pairs, kind), strict=True))
        yield (kind, *(f"{value:.1f}" for side in sides for value in (fmean(side), median(side))))


def _count_words(pairs: Sequence[WeightedPair], kind: str) -> list[tuple[int, int]]:
    of_kind = [item.pair for item in pairs if item.pair.kind == kind]
    return [(len(pair.chosen.answer.split()), len(pair.rejected.answer.split())) for pair in of_kind]


def _warn_of_length(pairs: Sequence[WeightedPair]) -> Iterator[str]:
    """Say how often the rejected answer is the longer one: a model can learn that in place of what is right."""
    if both := _count_words(pairs, "text"):
        share = fmean(rejected > chosen for chosen, rejected in both)
        yield ""
        yield (
            f"Of the text pairs, {share:.0%} have the longer answer on the rejected side. Where that share is far from "
            "half, a model can learn the length in place of what is right."
        )


def _raters(pairs: Sequence[WeightedPair], scoring: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    raters = Counter(item.score.scorer or "nobody" for item in pairs)
    for name, count in sorted(raters.items()):
        rated = [item.score.relevance for item in pairs if (item.score.scorer or "nobody") == name]
        values = [value for value in rated if value is not None]
        mean = f", mean relevance {fmean(values):.3f}" if values else ""
        yield f"- {name}: {count:,} pairs{mean}"
    if count := sum(GIVEN in item.pair.notes for item in pairs):
        yield f"- {count:,} of these scores came with the pairs"
    for name, summary in scoring.items():
        yield from _agreement(name, summary)


def _agreement(name: str, summary: Mapping[str, Any]) -> Iterator[str]:
    """Say who voted, and how far the voters agreed."""
    if "votes" in summary:
        votes = [f"{voter} on {count:,} pairs" for voter, count in summary["votes"].items()]
        yield f"- {name}: votes by {', '.join(votes)}"
    for key, called in (("alpha", "alpha"), ("ordinal_alpha", "ordinal alpha")):
        if key in summary:
            values = ", ".join(f"{which} votes {format_number(value)}" for which, value in summary[key].items())
            yield f"- {name}: Krippendorff's {called}: {values}"
    for one in summary.get("rank_correlation", ()):
        yield f"- {name}: rank correlation of {', '.join(one['voters'])}: {format_number(one['value'])}"
    if "votes" in summary and len(summary["votes"]) == 1:
        yield f"- {name}: one voter alone, so there is no agreement to tell of"
