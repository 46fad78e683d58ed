"""Which pairs are drawn, and who is shown them when: evenly, by the seed alone, and the same for the same seed."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from mmedpo import Score, WeightedPair
from mmedpo.review.drawing import PairDraw, name_stratum
from mmedpo.review.schedule import count_drawn, deal_pairs, schedule_pairs
from mmedpo.testing import tiny_pairs


def scored(count: int = 40) -> list[WeightedPair]:
    """Make pairs most of which have a high relevance."""
    pairs = [*tiny_pairs("text", count), *tiny_pairs("image", 4)]
    relevances = [0.1 if at < 5 else None if at == 5 else 0.9 for at in range(len(pairs))]
    return [WeightedPair(pair, Score(r, {}, "s"), 1.0) for pair, r in zip(pairs, relevances, strict=True)]


def test_each_stratum_of_a_kind_is_drawn_from_in_turn_whatever_the_order_of_the_set() -> None:
    drawn = PairDraw(9, 0).add_all(scored()).pairs()
    assert Counter(name_stratum(item) for item in drawn) == {
        ("text", "s", -1): 1,
        ("text", "s", 0): 4,
        ("text", "s", 2): 4,
        ("image", "s", 2): 4,
    }
    assert PairDraw(9, 0).add_all(reversed(scored())).pairs() == drawn
    assert PairDraw(9, 1).add_all(scored()).pairs() != drawn


@pytest.mark.parametrize(("shared", "seen_by_both"), [(1.0, 20), (0.4, 8), (0.0, 0)])
def test_raters_share_as_many_pairs_as_asked_for_and_see_equally_many(shared: float, seen_by_both: int) -> None:
    kinds = ["text"] * count_drawn(10, 2, shared) + ["image"] * count_drawn(10, 2, shared)
    one, other = deal_pairs(kinds, 2, shared, seed=0)
    assert (len(one), len(other), len({*one} & {*other})) == (20, 20, seen_by_both)
    assert Counter(kinds[place] for place in one) == {"text": 10, "image": 10}


def test_what_comes_twice_comes_the_other_way_round_and_a_good_while_later() -> None:
    shown = schedule_pairs(range(20), 0.2, seed=0, rater=0)
    assert len(shown) == 24
    first = {one.pair: (at, one) for at, one in enumerate(shown) if one.number == 1}
    assert len(first) == 20
    for at, one in enumerate(shown):
        before, was = first[one.pair]
        assert one.number == 1 or (at - before >= 5 and one.swapped != was.swapped)
    assert shown != schedule_pairs(range(20), 0.2, seed=0, rater=1)
    assert 4 < sum(one.swapped for one in shown) < 20


@pytest.mark.parametrize(("pairs", "twice", "presentations"), [(1, 1.0, 2), (3, 1.0, 6), (1, 0.0, 1), (0, 0.5, 0)])
def test_few_pairs_can_come_twice_as_well(pairs: int, twice: float, presentations: int) -> None:
    shown = schedule_pairs(range(pairs), twice, seed=0, rater=0)
    assert len(shown) == len({(one.pair, one.number) for one in shown}) == presentations


def test_a_pair_is_drawn_by_its_id_alone() -> None:
    other = [replace(item, weight=2.0) for item in scored()]
    ids = [[item.pair.id for item in PairDraw(5, 3).add_all(some).pairs()] for some in (scored(), other)]
    assert ids[0] == ids[1]
