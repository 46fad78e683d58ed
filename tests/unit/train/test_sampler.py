"""The order of pairs: every pair once, an image's together, batches of equal size and about equal length."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from losses import train_options
from pydantic import ValidationError

from mmedpo.errors import RecipeError
from mmedpo.recipe.train_options import LaunchOptions
from mmedpo.train.batches.encoding import EncodedPair, EncodedSide
from mmedpo.train.batches.sampler import PairBatchSampler, ordered_batches
from mmedpo.train.ranks.step_layout import StepLayout, share_steps


def make_pair(number: int, image: int, length: int = 5, noised: bool = False) -> EncodedPair:
    def side(name: str, answer: list[int]) -> EncodedSide:
        ids = np.array([3] * 20 + [5 + number % 7, *answer], dtype=np.int32)
        return EncodedSide(ids, 21, name, None, (None, "", ""))  # type: ignore[arg-type]

    rejected = side(f"noised {number}" if noised else f"{image}", [9] * length)
    kind, family = "image" if noised else "text", frozenset({f"{image}"})
    return EncodedPair(f"{number}", kind, "open", 1.0, family, side(f"{image}", [8]), rejected)  # type: ignore[arg-type]


def make_pairs(images: list[int]) -> list[EncodedPair]:
    return [make_pair(number, image, 1 + number % 9, number % 4 == 3) for number, image in enumerate(images)]


def order(sampler: PairBatchSampler) -> list[int]:
    return [pair for batch in sampler for pair in batch]


def steps(images: list[int], shared: StepLayout, per_image: int = 0) -> list[list[int]]:
    """Return the pairs of each step, over all processes."""
    of_process = [
        list(PairBatchSampler(make_pairs(images), replace(shared, process=process), 3, per_image))
        for process in range(shared.processes)
    ]
    assert len({len(batches) for batches in of_process}) == 1
    rounds = [list(chain(*same)) for same in zip(*of_process, strict=True)]
    cuts = range(0, len(rounds), shared.rounds)
    return [sorted(chain(*rounds[start : start + shared.rounds])) for start in cuts]


IMAGES = st.lists(st.integers(0, 6), min_size=1, max_size=80)


@given(IMAGES, st.integers(1, 12), st.integers(0, 4), st.integers(0, 5))
def test_every_pair_is_visited_once_an_epoch(images: list[int], size: int, per_image: int, epoch: int) -> None:
    sampler = PairBatchSampler(make_pairs(images), StepLayout(size, 2), 3, per_image)
    sampler.set_epoch(epoch)
    assert sorted(order(sampler)) == list(range(len(images)))
    assert len(sampler) == len(list(sampler))


@given(IMAGES, st.integers(1, 12))
def test_the_order_depends_on_seed_and_epoch_alone(images: list[int], size: int) -> None:
    one, other = (PairBatchSampler(make_pairs(images), StepLayout(size, 3), 3) for _ in range(2))
    list(one)
    assert list(one) == list(other)


@given(IMAGES, st.integers(0, 3))
def test_steps_are_the_same_however_batches_and_processes_share_them(images: list[int], per_image: int) -> None:
    ways = [
        StepLayout(8),
        StepLayout(4, 2),
        StepLayout(1, 8),
        StepLayout(8, 1, 2),
        StepLayout(4, 2, 2),
        StepLayout(1, 8, 4),
        StepLayout(8, 1, 3),
        StepLayout(2, 4, 3),
        StepLayout(8, 1, 8),
    ]
    found = [steps(images, way, per_image) for way in ways]
    assert all(other == found[0] for other in found)


@given(IMAGES, st.integers(1, 6), st.integers(1, 6), st.integers(1, 6))
def test_no_process_runs_more_pairs_together_than_asked_for_or_counts_its_batches_wrong(
    images: list[int], batch: int, accumulate: int, processes: int
) -> None:
    for process in range(processes):
        sampler = PairBatchSampler(make_pairs(images), StepLayout(batch, accumulate, processes, process), 3)
        batches = list(sampler)
        assert len(batches) == len(sampler)
        assert max(map(len, batches)) <= batch


def test_a_step_with_fewer_pairs_than_processes_is_refused_and_says_what_to_set() -> None:
    assert share_steps(train_options(batch_size=4), 4).size == 1
    said = r"none for 4 of 8 processes: set accumulate to 2, or train in at most 4"
    with pytest.raises(RecipeError, match=said):
        share_steps(train_options(batch_size=4), 8)
    with pytest.raises(ValidationError, match=said):
        train_options(batch_size=4, launch=LaunchOptions(processes=8))


@given(st.integers(1, 30), st.integers(1, 4), st.integers(1, 4))
def test_processes_look_at_every_pair_once_in_equally_many_batches(count: int, batch: int, processes: int) -> None:
    found = [ordered_batches(count, StepLayout(batch, 1, processes, process)) for process in range(processes)]
    assert sorted(pair for own in found for some in own for pair in some) == list(range(count))
    assert len({len(own) for own in found}) == 1


def test_epochs_and_seeds_differ() -> None:
    pairs = make_pairs([number // 4 for number in range(40)])
    first, second, other = (PairBatchSampler(pairs, StepLayout(8), seed) for seed in (3, 3, 4))
    second.set_epoch(1)
    assert list(first) != list(second)
    assert list(first) != list(other)


def images_a_batch(per_image: int, size: int = 12) -> float:
    images = [number // 6 for number in range(240)]
    return float(
        np.mean(
            [
                len({images[p] for p in batch})
                for batch in PairBatchSampler(make_pairs(images), StepLayout(size), 3, per_image)
            ]
        )
    )


def test_an_images_pairs_come_together() -> None:
    assert images_a_batch(0) == 2


def test_a_group_larger_than_a_batch_is_split_as_little_as_can_be() -> None:
    images = [0] * 10 + [1] * 6
    found = list(PairBatchSampler(make_pairs(images), StepLayout(8), 3))
    assert sorted(len({images[pair] for pair in batch}) for batch in found) == [1, 2]


def test_one_pair_an_image_scatters_them_like_plain_shuffling() -> None:
    assert images_a_batch(1) > 10
    assert images_a_batch(2) > 5


@pytest.mark.parametrize("count", [5, 64, 67])
def test_all_batches_but_the_last_are_full(count: int) -> None:
    sizes = [len(batch) for batch in PairBatchSampler(make_pairs([n // 3 for n in range(count)]), StepLayout(8), 3)]
    assert all(size == 8 for size in sizes[:-1])
    assert sum(sizes) == count


def test_batches_have_about_equally_many_tokens() -> None:
    draw = np.random.default_rng(0)
    pairs = [make_pair(number, number // 2, int(draw.choice([2, 60]))) for number in range(128)]  # a window
    lengths = np.array([len(pair.rejected.ids) for pair in pairs])
    found = [lengths[batch].sum() for batch in PairBatchSampler(pairs, StepLayout(8), 3)]
    shuffled = [lengths[batch].sum() for batch in PairBatchSampler(pairs, StepLayout(8), 3, per_image=1)]
    assert np.std(found) < 0.5 * np.std(shuffled)
