"""What is said of all weights: their means, and where they are equal."""

from __future__ import annotations

from collections.abc import Sequence

from mmedpo import PairKind, Score, WeightedPair
from mmedpo.curate.weight_survey import WeightSurvey
from mmedpo.events import StageCount
from mmedpo.store.run_files.counts import describe_count
from mmedpo.testing import tiny_pairs


def weighted(kind: PairKind, scorer: str, values: Sequence[tuple[float | None, float]]) -> list[WeightedPair]:
    pairs = tiny_pairs(kind, len(values))
    scores = [(Score(relevance, scorer=scorer), weight) for relevance, weight in values]
    return [WeightedPair(pair, *both) for pair, both in zip(pairs, scores, strict=True)]


def survey(*items: WeightedPair) -> tuple[dict[str, float], list[StageCount]]:
    found = WeightSurvey()
    assert list(found.note_each(items)) == list(items)
    return found.means, list(found.count_equal())


def test_weights_that_differ_within_a_scorers_kind_are_only_averaged() -> None:
    means, counts = survey(*weighted("text", "vote", [(0.2, 0.75), (0.9, 1.25), (None, 1.0)]))
    assert (means, counts) == ({"text": 1.0}, [])


def test_equal_weights_are_counted_by_scorer_and_kind_with_the_relevances_behind_them() -> None:
    clipped = weighted("text", "vote", [(0.2, 0.75), (0.9, 0.75), (None, 1.0)])
    certain = weighted("image", "confidence", [(1.0, 1.0)] * 3)
    _, counts = survey(*clipped, *certain)
    assert [describe_count(count) for count in counts] == [
        "text pairs rated by vote that all weigh 0.75 (relevance 0.2 to 0.9): weights do nothing among them",
        "image pairs rated by confidence that all weigh 1 (relevance 1): weights do nothing among them",
    ]
    assert [count.count for count in counts] == [2, 3]


def test_one_pair_alone_is_told_from_none() -> None:
    assert survey(*weighted("text", "vote", [(0.5, 1.0)]))[1] == []
