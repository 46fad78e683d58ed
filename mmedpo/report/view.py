"""What the templates show of a run, section by section."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from mmedpo.evaluate.confidence import bin_confidence
from mmedpo.events import StageCount
from mmedpo.report import figures
from mmedpo.report.album import ImageAlbum
from mmedpo.report.cases import answered_cards, attention_cards, choose_attention
from mmedpo.report.facts import RunFacts
from mmedpo.report.gallery import cards
from mmedpo.report.measures import main_lines, make_tables
from mmedpo.report.sentences import write_sentences
from mmedpo.report.surveys import PairSurvey
from mmedpo.store.run_files.counts import describe_count, is_lost

LOOKING = ("looks", "attention")  # metrics of whether the model looks, not of how well it answers


def summary_of(facts: RunFacts) -> dict[str, Any]:
    """Return what is said of a run even beside others: what was asked, how cases flowed, what was measured."""
    found, lengths = make_tables(facts), facts.all_pairs.lengths
    lines = main_lines(found)
    drawn = [(table, figures.forest(table.lines)) for table in found]
    return {
        "facts": facts,
        "measured": [one for one in drawn if one[0].use not in LOOKING],
        "looking": [one for one in drawn if one[0].use in LOOKING],
        "main": lines,
        "said": write_sentences(facts, lines, lengths, found),
        "lengths": lengths,
        "flow": [(stage.stage, list(_counts(stage.counts))) for stage in facts.run.flow],
    }


def _counts(counts: Sequence[StageCount]) -> Iterator[dict[str, Any]]:
    """Yield the counts of a stage, each with its share of the greatest; of what it left behind, where there is any."""
    most = max((count.count for count in counts), default=1) or 1
    for count in counts:
        lost, number = is_lost(count), count.count
        if number or not lost:
            yield {"what": describe_count(count), "number": number, "lost": lost, "share": number / most}


def whole(facts: RunFacts, images: bool = True) -> dict[str, Any]:
    """Return what only the page of one run shows: cases, attention, pairs and training; with `images` or without."""
    album, cases = ImageAlbum(facts.folder, images), facts.all_cases
    better, worse = ((answered_cards(cases.changed[way], album), cases.counts[way]) for way in (1, -1))
    attention = choose_attention(facts.attention)
    looked = attention_cards(attention.shown, facts.answers, album)
    pairs = _pairs(facts.all_pairs, album)
    return {
        "images": images,
        "missing": album.missing,
        "better": better,
        "worse": worse,
        "drawn": answered_cards(cases.drawn, album),
        "measured_cases": cases.measured,
        "seen": looked,
        "points": len(attention.shares),
        "shares": figures.shares(attention.shares),
        "reliability": figures.reliability({side: bin_confidence(rows) for side, rows in cases.confidence.items()}),
        **pairs,
        **_training(facts),
    }


def _pairs(pairs: PairSurvey, album: ImageAlbum) -> dict[str, Any]:
    """Return the gallery, and the distributions of all pairs."""
    if not pairs.weights:
        return {"cards": [], "charts": []}
    relevances, charts = pairs.relevances, []
    if relevances:
        charts.append(("Relevance, by pair kind", figures.histogram(relevances, "relevance", (0, 1))))
    charts.append(("Weight in the loss, by pair kind", figures.histogram(pairs.weights, "weight")))
    if lengths := pairs.lengths:
        charts.append(("Length of the answers of text pairs", figures.of_lengths(lengths)))
    return {"cards": cards(pairs.shown, album), "charts": charts}


def _training(facts: RunFacts) -> dict[str, Any]:
    history = facts.training.history if facts.training else ()
    kinds = ("text", "image")
    drawn = [
        ("Loss, step by step", figures.curves(history, {"loss": "loss"}, "loss")),
        (
            "Reward margin, by pair kind",
            figures.curves(history, {f"rewards/margins/{kind}": kind for kind in kinds}, "margin"),
        ),
        (
            "Share of a step’s pairs ranked right, by pair kind",
            figures.curves(history, {f"rewards/accuracies/{kind}": kind for kind in kinds}, "share"),
        ),
    ]
    return {"curves": [(caption, figure) for caption, figure in drawn if figure]}
