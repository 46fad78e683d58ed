"""The data card, in Hugging Face's format: what pairs are, how they were made, who rated them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from mmedpo.core.records import WeightedPair
from mmedpo.exchange.card_text import PAPER, format_number, join_card, list_dropped, list_makers, name_readers, table
from mmedpo.exchange.pair_statistics import PairStatistics
from mmedpo.store.run_files.record import RunRecord

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def data_card(pairs: Iterable[WeightedPair], run: RunRecord, *, license: str = "") -> str:
    """Return the card of a run's pairs."""
    statistics = PairStatistics()
    for _ in statistics.count_all(pairs):
        pass
    return format_card(statistics, run, license=license)


def format_card(
    pairs: PairStatistics, run: RunRecord, *, license: str = "", table: Sequence[str] = (), lost: Sequence[str] = ()
) -> str:
    """Return the card of a set of pairs.

    `table` are the files that `datasets` loads, `lost` what the form they are in does not hold.
    """
    from huggingface_hub import DatasetCardData

    paths = table[0] if len(table) == 1 else list(table)
    config = {"config_name": "default", "data_files": [{"split": "train", "path": paths}]}
    more: dict[str, Any] = {"configs": [config]} if table else {}
    data = DatasetCardData(
        license=license or "unknown",
        pretty_name=f"Preference pairs from {name_readers(run.recipe)}",
        task_categories=["visual-question-answering"],
        size_categories=[next((name for most, name in _SIZES if pairs.count < most), "n>1M")],
        tags=["mmedpo", "medical", "preference", "dpo", "image"],
        **more,
    )
    return join_card(data.to_yaml(), _about_pairs(pairs, run, license, lost))


def _about_pairs(pairs: PairStatistics, run: RunRecord, license: str, lost: Sequence[str]) -> Iterator[str]:
    recipe = run.recipe
    yield f"# Preference pairs from {name_readers(recipe)}"
    yield ""
    yield (
        f"{pairs.count:,} preference pairs for medical visual questions, made by the method of {PAPER} with mmedpo "
        f"{run.packages['mmedpo']}. In each, for one question, the chosen side (an image and an answer) is to be "
        "preferred to the rejected side. Rejected sides are made to be wrong: take none for a statement about an image."
    )
    yield from _restrictions(pairs, license)
    if lost:
        yield from ("", "## What this form does not hold", *(f"- {sentence}." for sentence in lost))
    yield from ("", "## How they were made", *list_makers(recipe), "")
    made = ((kind, maker, f"{count:,}", f"{weight:.3f}") for kind, maker, count, weight in pairs.makers())
    yield from table(("kind", "made by", "pairs", "mean weight"), made)
    if dropped := list(list_dropped(run)):
        yield from ("", "Left out on the way, or worth knowing:", "", *dropped)
    yield from ("", "## Lengths of the answers, in words", "")
    lengths = ((kind, *(f"{value:.1f}" for value in values)) for kind, values in pairs.lengths())
    yield from table(("kind", "chosen, mean", "chosen, median", "rejected, mean", "rejected, median"), lengths)
    yield from _warn_of_length(pairs)
    yield from ("", "## Who rated them", *_raters(pairs, run.scoring))


def _restrictions(pairs: PairStatistics, license: str) -> Iterator[str]:
    yield from ("", "## Restrictions")
    if pairs.restricted:
        yield (
            f"{pairs.restricted:,} of {pairs.count:,} pairs are restricted: made of data that must not leave the "
            "machine they are on. This folder is as restricted as those data; share it with nobody who may not have "
            "them."
        )
    else:
        yield "No pair is marked as restricted."
    yield ""
    if license:
        yield f"The data they are made of have the licence `{license}`; what it asks for holds for the pairs as well."
    else:
        yield "The licence of these data is not known here: fill in `license` above before you share them."


def _warn_of_length(pairs: PairStatistics) -> Iterator[str]:
    """Say how often the rejected answer is the longer one: a model can learn that in place of what is right."""
    share = pairs.share_longer("text")
    if share is not None:
        yield ""
        yield (
            f"Of the text pairs, {share:.0%} have the longer answer on the rejected side. Where that share is far from "
            "half, a model can learn the length in place of what is right."
        )


def _raters(pairs: PairStatistics, scoring: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for name, count, relevance in pairs.raters():
        mean = "" if relevance is None else f", mean relevance {relevance:.3f}"
        yield f"- {name}: {count:,} pairs{mean}"
    if pairs.given:
        yield f"- {pairs.given:,} of these scores came with the pairs"
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
