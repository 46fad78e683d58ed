"""Films taken away: how much of one a crop keeps, and that the same seed and image give the same piece."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import numpy as np
import pytest
from mmedpo_plugins.dispreferences.other_images import BlankImage, ImageCrop, ImageSwap, draw_piece
from PIL import Image
from pydantic import ValidationError

from mmedpo import Case, Drop, ImageRef, Pair, Setting
from mmedpo.core.images import is_even

RAMP = ImageRef.drawn(Image.fromarray(np.arange(200 * 160, dtype=np.uint32).reshape(160, 200).astype(np.uint8)))


def crop(*cases: Case, seed: int = 0, **options: float) -> list[Pair]:
    with ImageCrop(**options).open(Setting(seed=seed)) as live:
        return [pair for pair in live.disprefer(cases, None, [[] for _ in cases]) if isinstance(pair, Pair)]


def case(name: str = "c", image: ImageRef = RAMP) -> Case:
    return Case(name, image, "Is there a nodule?", "Yes", kind="closed")


def test_the_film_is_preferred_to_a_piece_of_it_in_its_own_size() -> None:
    (pair,) = crop(case())
    assert (pair.chosen.image, pair.chosen.answer, pair.rejected.answer) == (RAMP, "Yes", "Yes")
    assert pair.rejected.image.load().size == (200, 160)
    left, top, right, bottom = pair.notes["piece"]
    piece = RAMP.load().crop((left, top, right, bottom)).resize((200, 160))
    apart = np.abs(np.asarray(piece).astype(int) - np.asarray(pair.rejected.image.load()).astype(int))
    assert np.median(apart) <= 1


def test_a_piece_is_of_the_asked_area_and_shape_and_lies_within_the_film() -> None:
    pieces = [draw_piece(Random(seed), (200, 160), 0.01, 0.2) for seed in range(300)]
    shares = [(right - left) * (bottom - top) / 32_000 for left, top, right, bottom in pieces]
    assert min(shares) >= 0.009
    assert max(shares) <= 0.203  # sides are whole pixels
    assert 0.09 < np.mean(shares) < 0.12
    for left, top, right, bottom in pieces:
        assert 0 <= left < right <= 200
        assert 0 <= top < bottom <= 160
        assert 0.7 <= (right - left) / (bottom - top) <= 1.43


@pytest.mark.parametrize("size", [(3, 400), (400, 3)])
def test_of_a_narrow_film_the_area_counts_and_not_the_shape(size: tuple[int, int]) -> None:
    left, top, right, bottom = draw_piece(Random(0), size, 0.5, 0.5)
    assert (right - left) * (bottom - top) == 600
    assert right <= size[0]
    assert bottom <= size[1]


def test_the_piece_depends_on_seed_and_image_alone() -> None:
    first, second = crop(case("a"), case("b"))
    assert first.notes["piece"] == second.notes["piece"] != crop(case(), seed=1)[0].notes["piece"]


def test_an_even_film_gives_no_pair_since_a_piece_of_it_is_the_same() -> None:
    even = case(image=ImageRef.drawn(Image.new("L", (40, 30), 7)))
    with ImageCrop().open(Setting()) as live:
        assert list(live.disprefer([even], None, [[]])) == [Drop("c", "nothing changed")]


def test_of_several_films_each_is_taken_away() -> None:
    second = ImageRef.drawn(RAMP.load().transpose(Image.Transpose.ROTATE_90))
    both, other = replace(case(), more_images=(second,)), replace(case("d", second), more_images=(RAMP,))
    (cropped,) = crop(both)
    assert cropped.rejected.images == tuple(pair.rejected.image for pair in crop(case(), case("e", second)))
    assert len(cropped.notes["pieces"]) == 2
    (blank,) = BlankImage().disprefer([both], None, [[]])
    assert isinstance(blank, Pair)
    assert all(is_even(image.load()) for image in blank.rejected.images)
    swapped, kept, alone = ImageSwap().disprefer(
        [both, other, case("f", ImageRef.drawn(Image.new("L", (4, 4))))], None, []
    )
    assert isinstance(swapped, Pair)
    assert isinstance(kept, Pair)
    assert (swapped.chosen.images, swapped.rejected.images) == (both.images, other.images)
    assert kept.rejected.images == both.images
    assert alone == Drop("f", "no other patient's film is at hand")  # none has as few


def test_a_least_share_above_the_greatest_is_refused() -> None:
    with pytest.raises(ValidationError, match="least"):
        ImageCrop(least=0.5, most=0.2)
