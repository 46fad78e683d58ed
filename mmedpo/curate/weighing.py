"""The stage weigh: weights of the whole set, and the file of weighted pairs."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mmedpo.core.lazy_sequence import pick_items
from mmedpo.core.records import GIVEN, Pair, WeightedPair
from mmedpo.curate.example_file import write_examples
from mmedpo.curate.scoring import RatedPairs
from mmedpo.curate.weight_survey import WeightSurvey
from mmedpo.errors import DataError
from mmedpo.events import StageCount, StageStarted
from mmedpo.registry.conformance.blame import blame_part
from mmedpo.registry.conformance.weighting import check_weights
from mmedpo.runtime.context import RunContext
from mmedpo.store.run_files.dropped import tell_dropped
from mmedpo.store.run_files.format import PAIRS


@dataclass(frozen=True)
class WeighedPairs:
    """What is to be known of pairs.jsonl; the pairs are read from there, so that no more are in memory than wanted."""

    means: dict[str, float]  # the mean weight of each kind of pair, which tells how much of the loss each can claim
    images: Sequence[str]  # the pixel hashes of the images that the run made


def weigh_pairs(run: RunContext, rated: RatedPairs) -> WeighedPairs:
    """Make weights of the relevances of the whole set, and write pairs.jsonl and the images it names."""
    part = run.recipe.weigh
    plugin = run.plugin_of(part)
    places = array("L", (place for place, given in enumerate(rated.scores) if given.relevance is not None))
    run.see(StageStarted("weigh", len(rated.pairs)))
    with blame_part(plugin, "--limit"):
        weights = part.weigh(pick_items(rated.scores, places)) if places else []
    checked = array("d", check_weights(plugin, weights, len(places)))
    kept = len(rated.pairs) if run.recipe.unrated == "keep" else len(places)
    counts = [StageCount("weighted_pairs", kept), StageCount("dropped_pairs", len(rated.pairs) - kept)]
    if rated.pairs and not kept:
        run.finish("weigh", counts)
        raise DataError(f"none of {len(rated.pairs)} pairs has a relevance; see 'unrated:' and the scorers' evidence")
    survey = WeightSurvey()
    weighted = _weighted_pairs(run, rated, checked)
    images = write_examples(run, PAIRS, survey.note_each(weighted))
    run.finish("weigh", [*counts, *([] if part.equal else survey.count_equal())])
    return WeighedPairs(survey.means, images)


def _weighted_pairs(run: RunContext, rated: RatedPairs, weights: Sequence[float]) -> Iterator[WeightedPair]:
    """Yield the pairs with their weights, those that nobody rated only where they are kept."""
    rest = iter(weights)
    for pair, given in zip(rated.pairs, rated.scores, strict=True):
        if given.relevance is not None:
            yield WeightedPair(pair, given, next(rest))
        elif run.recipe.unrated == "keep":
            yield WeightedPair(pair, given, _weight_of_unrated(pair))
        else:
            run.dropped.append(tell_dropped(pair.case, "weigh", "nobody rated its pair", pair.made_by, pair.kind))


def _weight_of_unrated(pair: Pair) -> float:
    """Return the weight of a pair that nobody rated: the one that it came with, else 1."""
    return float(pair.notes.get(GIVEN, {}).get("weight", 1.0))
