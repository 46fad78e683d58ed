"""Several localizers: all they find, or what two of them agree on, and how often they do."""

from __future__ import annotations

from mmedpo.core.records import Region
from mmedpo.curate.region_agreement import count_agreement, merge_regions, same
from mmedpo.events import StageCount

ONE = Region("nodule", (0, 0, 10, 10), 0.9)
NEAR = Region("Nodule", (2, 0, 12, 10), 0.6)
OTHER = Region("effusion", (0, 0, 10, 10), 0.9)
UNNAMED = Region("", (1, 1, 11, 11), 0.5)
FAR = Region("nodule", (50, 50, 60, 60), 0.9)


def test_two_regions_are_one_thing_when_they_overlap_and_no_label_contradicts() -> None:
    assert same(ONE, NEAR)
    assert same(ONE, UNNAMED)
    assert not same(ONE, OTHER)
    assert not same(ONE, FAR)


def test_of_several_localizers_all_regions_or_those_that_two_find() -> None:
    found = [(ONE, FAR), (NEAR,), (OTHER,)]
    assert merge_regions(found, "union") == (ONE, FAR, NEAR, OTHER)
    assert merge_regions(found, "agreed") == (ONE,)
    assert merge_regions([(ONE, FAR)], "agreed") == (ONE, FAR)


def test_agreement_is_counted_image_by_image() -> None:
    counts = count_agreement(["a", "b"], [[(ONE,), (ONE,), (ONE,), ()], [(NEAR,), (FAR,), (), ()]])
    assert set(counts) == {
        StageCount("images_agreed", 1, "a", "b"),
        StageCount("images_disagreed", 1, "a", "b"),
        StageCount("images_found_by_one", 1, "a", "b"),
    }
