"""Noise in the lesion: Eq. 2 to the letter, exact outside the mask, the same for the same image and regions."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from mmedpo_plugins.dispreferences.lesion_noise.lesion_noise import GlobalNoise, LesionNoise
from mmedpo_plugins.dispreferences.lesion_noise.lesion_removal import LesionBlackout, LesionBlur, LesionInpainting
from mmedpo_plugins.noise.diffusion import add_noise, signal_factor
from mmedpo_plugins.radiology.question_regions import question_regions
from PIL import Image

from mmedpo import Case, DataError, Dispreference, Drop, ImageRef, Pair, Region, Setting, Side, seed_for
from mmedpo.testing import tiny_cases

CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
NODULE = Region("nodule", (10, 20, 40, 60), confidence=0.8)
EFFUSION = Region("effusion", (50, 50, 64, 64), confidence=0.6)


def film(mode: str = "L", size: tuple[int, int] = (64, 80), seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(40, 200, (size[1], size[0]), dtype=np.uint8)
    grey = Image.fromarray(pixels)
    return grey if mode == "L" else grey.convert("RGB")


def case(*regions: Region, image: Image.Image | None = None, **changes: Any) -> Case:
    picture = ImageRef.drawn(image or film())
    return replace(Case("c", picture, "Is there a nodule?", "Yes", kind="closed", regions=regions), **changes)


def noised(part: Dispreference, *cases: Case, seed: int = 0) -> list[Pair | Drop]:
    with part.open(Setting(seed=seed)) as live:
        return list(live.disprefer(cases, None, [[] for _ in cases]))


def one(part: Dispreference, a_case: Case, seed: int = 0) -> Pair:
    (pair,) = noised(part, a_case, seed=seed)
    assert isinstance(pair, Pair)
    return pair


def pixels(picture: ImageRef) -> np.ndarray:
    return np.asarray(picture.load())


def test_of_several_images_those_change_in_which_a_region_lies() -> None:
    first, second = ImageRef.drawn(film(seed=1)), ImageRef.drawn(film(seed=2))
    whole = case(replace(NODULE, image=1), image=first.load(), more_images=(second,))
    pair = one(LesionNoise(), whole)
    assert pair.chosen.images == (first, second)
    assert pair.rejected.image == first
    alone = one(LesionNoise(), case(NODULE, image=second.load()))
    assert pair.rejected.images[1] == alone.rejected.image  # as where it is the only one
    assert pair.notes["regions"][0]["image"] == 1
    both = one(LesionNoise(), replace(whole, regions=(NODULE, replace(NODULE, image=1))))
    assert both.rejected.images == (
        one(LesionNoise(), case(NODULE, image=first.load())).rejected.image,
        alone.rejected.image,
    )
    assert both.notes["covered"] == alone.notes["covered"]
    everywhere = one(GlobalNoise(without_region="noise"), replace(whole, regions=()))
    assert not set(everywhere.rejected.images) & {first, second}


def test_half_way_the_noise_has_a_deviation_of_one_half() -> None:
    assert signal_factor(500) == pytest.approx(0.75, abs=0.01)
    assert np.sqrt(1 - signal_factor(500)) == pytest.approx(0.5, abs=0.01)


def test_what_is_kept_is_the_product_over_the_schedule() -> None:
    betas = [1 / (1 + np.exp(-v)) * (0.5e-2 - 1e-5) + 1e-5 for v in np.linspace(-6, 6, 1000)]
    assert signal_factor(3) == pytest.approx((1 - betas[0]) * (1 - betas[1]) * (1 - betas[2]), rel=1e-12)
    assert signal_factor(1000, "linear") == pytest.approx(4e-5, rel=0.02)


def test_eq_2_holds_pixel_by_pixel_on_a_grey_film() -> None:
    image, h = film(), np.linspace(0, 1, 64 * 80, dtype=np.float32).reshape(80, 64)
    result = np.asarray(add_noise(image, h, 0.7, 11, CLIP_MEAN, CLIP_STD), dtype=float)
    mean, std = np.mean(CLIP_MEAN), np.mean(CLIP_STD)
    x = (np.asarray(image, dtype=float) / 255 - mean) / std
    noise = np.random.Generator(np.random.PCG64(11)).standard_normal((80, 64, 1), dtype=np.float32)[..., 0]
    expected = np.sqrt(0.7) * x * h + np.sqrt(0.3) * noise * h + x * (1 - h)
    expected = np.rint(np.clip((expected * std + mean) * 255, 0, 255))
    assert np.abs(result - expected).max() <= 1  # single precision may tip a rounding
    assert (result == expected).mean() > 0.999


def test_with_the_map_as_mask_h_is_the_heat_at_each_pixel_and_noise_covers_all_of_the_film() -> None:
    greys = np.linspace(0, 255, 64 * 80).reshape(80, 64).astype(np.uint8)
    hot = replace(NODULE, heat=ImageRef.drawn(Image.fromarray(greys)))
    pair = one(LesionNoise(mask="map"), case(hot))
    seed = seed_for(0, "noise", case().image.sha256)
    expected = add_noise(film(), greys.astype(np.float32) / 255, signal_factor(500), seed, CLIP_MEAN, CLIP_STD)
    assert (pixels(pair.rejected.image) == np.asarray(expected)).all()
    assert pair.notes["mask"] == "map"
    assert pair.notes["covered"] > 0.99
    both = LesionNoise(mask="map").draw_mask((64, 80), [hot, replace(hot, heat=ImageRef.drawn(film()))])
    assert (both * 255 == np.maximum(greys, np.asarray(film()))).all()
    with pytest.raises(DataError, match="'nodule': has no heat map for `mask: map`"):
        noised(LesionNoise(mask="map"), case(NODULE))
    with pytest.raises(ValueError, match="mask: map takes the heat map as it is; place and edge would do nothing"):
        LesionNoise(mask="map", edge="hard", place="decoy")


def test_eq_2_holds_per_channel_on_a_colour_image() -> None:
    image = Image.fromarray(np.random.default_rng(3).integers(60, 180, (30, 20, 3), dtype=np.uint8))
    result = np.asarray(add_noise(image, np.ones((30, 20), np.float32), 0.75, 5, CLIP_MEAN, CLIP_STD), dtype=float)
    noise = np.random.Generator(np.random.PCG64(5)).standard_normal((30, 20, 3), dtype=np.float32)
    x = (np.asarray(image, dtype=float) / 255 - CLIP_MEAN) / CLIP_STD
    expected = np.clip(((np.sqrt(0.75) * x + np.sqrt(0.25) * noise) * CLIP_STD + CLIP_MEAN) * 255, 0, 255)
    assert np.abs(result - np.rint(expected)).max() <= 1


@pytest.mark.parametrize("edge", ["soft", "hard"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_outside_the_regions_no_bit_changes(mode: str, edge: str) -> None:
    pair = one(LesionNoise(edge=edge), case(NODULE, EFFUSION, image=film(mode), kind="report"))
    before, after = pixels(pair.chosen.image), pixels(pair.rejected.image)
    inside = np.zeros(before.shape[:2], bool)
    inside[20:60, 10:40] = inside[50:64, 50:64] = True
    assert (before[~inside] == after[~inside]).all()
    assert (before[inside] != after[inside]).mean() > 0.8


def test_a_grey_film_stays_grey() -> None:
    after = pixels(one(LesionNoise(), case(NODULE, image=film("RGB"))).rejected.image)
    assert (after == after[..., :1]).all()
    assert one(LesionNoise(), case(NODULE)).rejected.image.load().mode == "L"


def test_grey_and_rgb_files_of_one_film_get_the_same_noise_for_the_same_seed() -> None:
    mask = np.ones((80, 64), np.float32)
    grey, colour = (add_noise(film(mode), mask, 0.75, 1, CLIP_MEAN, CLIP_STD) for mode in ("L", "RGB"))
    assert (np.asarray(colour)[..., 2] == np.asarray(grey)).all()


def test_a_film_with_a_coloured_mark_and_compression_errors_gets_grey_noise() -> None:
    image = film("RGB")
    image.paste((255, 255, 0), (0, 0, 8, 8))
    image.putpixel((20, 30), (100, 103, 98))
    before = np.asarray(image).astype(int)
    after = pixels(one(LesionNoise(edge="hard"), case(NODULE, image=image)).rejected.image).astype(int)
    assert (after[:8, :8] == before[:8, :8]).all()
    assert np.ptp(after[21:59, 11:39], axis=-1).max() <= 6  # the differences that were there, no more


def test_a_colour_image_gets_noise_of_its_own_in_each_channel() -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8))
    flat = Image.new("RGB", (40, 40), (120, 100, 90))
    for picture in (image, flat):
        after = pixels(one(LesionNoise(most=1), case(Region("", (0, 0, 40, 40)), image=picture)).rejected.image).astype(
            int
        )
        assert np.ptp(np.diff(after, axis=-1)) > 20


def test_a_soft_edge_fades_in_from_the_border_and_is_full_at_the_feather() -> None:
    h = LesionNoise(feather=4).draw_mask((64, 80), [NODULE])
    assert list(h[40, 9:16]) == [0, 0.25, 0.5, 0.75, 1, 1, 1]
    assert h[20, 10] == 0.25


def test_a_lesion_at_the_picture_s_edge_does_not_fade_there() -> None:
    h = LesionNoise(feather=4).draw_mask((64, 80), [Region("", (0, 0, 64, 20))])
    assert (h[0] == 1).all()
    assert list(h[16:21, 30]) == [1, 0.75, 0.5, 0.25, 0]


def test_a_lesion_smaller_than_the_feather_is_still_noised_in_full_at_its_middle() -> None:
    h = LesionNoise(feather=50).draw_mask((64, 80), [Region("", (10, 10, 13, 13)), Region("", (30, 30, 60, 60))])
    assert h[11, 11] == 1


def test_a_mask_is_used_rather_than_the_box_and_its_greys_are_weights() -> None:
    mask = Image.new("L", (64, 80))
    mask.paste(255, (20, 20, 30, 30))
    mask.paste(51, (40, 40, 50, 50))
    region = Region("nodule", (0, 0, 64, 80), mask=ImageRef.drawn(mask))
    soft, hard = (
        LesionNoise(feather=1).draw_mask((64, 80), [region]),
        LesionNoise(edge="hard").draw_mask((64, 80), [region]),
    )
    assert soft[25, 25] == 1
    assert soft[45, 45] == pytest.approx(0.2)
    assert hard[25, 25] == 1
    assert hard[45, 45] == soft[0, 0] == 0


def test_a_mask_of_another_size_is_the_data_s_fault() -> None:
    region = Region("nodule", (0, 0, 8, 8), mask=ImageRef.drawn(Image.new("L", (8, 8), 255)))
    with pytest.raises(DataError, match=r"'nodule'.*\(8, 8\).*\(64, 80\)"):
        noised(LesionNoise(), case(region))


def test_the_noise_depends_on_seed_image_and_regions_and_on_nothing_else() -> None:
    first = one(LesionNoise(), case(NODULE))
    again = one(LesionNoise(), case(NODULE, id="another", question="Where is it?", answer="Left", kind="open"))
    assert first.rejected.image == again.rejected.image
    others = [
        one(LesionNoise(), case(NODULE), seed=1),
        one(LesionNoise(), case(EFFUSION)),
        one(LesionNoise(step=400), case(NODULE)),
        one(LesionNoise(schedule="linear"), case(NODULE)),
        one(LesionNoise(), case(NODULE, image=film(seed=9))),
    ]
    assert len({first.rejected.image.sha256, *(pair.rejected.image.sha256 for pair in others)}) == 6


def test_questions_about_one_image_share_one_noised_image() -> None:
    first, second = noised(LesionNoise(), case(NODULE), case(NODULE, id="d", question="Is it left?"))
    assert isinstance(first, Pair)
    assert isinstance(second, Pair)
    assert first.rejected.image.held is second.rejected.image.held


def test_both_sides_have_the_true_answer_and_the_notes_say_what_was_noised() -> None:
    pair = one(LesionNoise(), case(NODULE))
    assert (pair.kind, pair.chosen.answer, pair.rejected.answer) == ("image", "Yes", "Yes")
    assert pair.chosen.image == pair.case.image
    assert pair.notes == {
        "regions": [{"label": "nodule", "box": [10, 20, 40, 60], "confidence": 0.8}],
        "step": 500,
        "schedule": "sigmoid",
        "covered": pytest.approx(30 * 40 / (64 * 80), abs=1e-6),
    }


def test_only_the_regions_that_the_question_is_about_are_noised() -> None:
    both = case(NODULE, EFFUSION, about=("Nodule",))
    assert question_regions(both) == (NODULE,)
    assert question_regions(both, "all") == (NODULE, EFFUSION)
    assert question_regions(replace(both, kind="report")) == (NODULE, EFFUSION)
    assert question_regions(replace(both, about=())) == (NODULE, EFFUSION)


def test_a_case_with_nothing_to_noise_is_dropped_with_a_reason() -> None:
    assert noised(LesionNoise(), case()) == [Drop("c", "the image has no region")]
    absent = case(EFFUSION, about=("nodule",), answer="No")
    assert noised(LesionNoise(), absent) == [Drop("c", "no region shows what the question is about")]
    unknown = case(EFFUSION, answer="No, there is not.")
    assert noised(LesionNoise(), unknown) == [Drop("c", "the answer is no, about no known region")]


EMPTY = Region("nodule", (0, 0, 64, 80), mask=ImageRef.drawn(Image.new("L", (64, 80))))
WIDE = Region("nodule", (0, 0, 64, 50))


@pytest.mark.parametrize("region", [EMPTY, WIDE])
def test_regions_that_cover_nothing_or_too_much_give_what_the_recipe_says(region: Region) -> None:
    reason = "the regions cover nothing" if region is EMPTY else "the regions cover more than 50% of the image"
    assert noised(LesionNoise(), case(region)) == [Drop("c", reason)]
    with pytest.raises(DataError, match=r"'c'.*cover"):
        noised(LesionNoise(unfit="error"), case(region))
    everywhere = one(LesionNoise(unfit="global"), case(region))
    assert everywhere.notes["fallback"] == reason
    assert everywhere.notes["covered"] == 1


def test_a_flipped_pair_prefers_the_wrong_answer_on_the_noised_film() -> None:
    a_case = case(NODULE)
    wrong = Pair(a_case, Side(a_case.image, "Yes"), Side(a_case.image, "No"), "text")
    with LesionNoise(pairs="flipped").open(Setting()) as live:
        (pair,) = live.disprefer([a_case], None, [[wrong]])
        (without,) = live.disprefer([a_case], None, [[]])
    assert (pair.chosen.answer, pair.rejected.answer) == ("No", "Yes")
    assert pair.chosen.image == pair.rejected.image != a_case.image
    assert pair.notes["flipped"] is True
    assert without == Drop("c", "no earlier pair has a wrong answer to flip with")


def test_a_flipped_pair_has_both_answers_of_the_text_pair_also_where_neither_is_the_clinicians() -> None:
    a_case = case(NODULE)
    own = Pair(a_case, Side(a_case.image, "I see one."), Side(a_case.image, "I see none."), "text")
    with LesionNoise(pairs="flipped").open(Setting()) as live:
        (pair,) = live.disprefer([a_case], None, [[own]])
    assert (pair.chosen.answer, pair.rejected.answer) == ("I see none.", "I see one.")


def test_pairs_are_made_of_the_kinds_of_case_that_the_recipe_names() -> None:
    cases = tiny_cases()
    with LesionNoise(kinds=("closed",)).open(Setting()) as live:
        made = list(live.disprefer(cases, None, [[] for _ in cases]))
    assert [isinstance(one, Pair) for one in made] == [case.kind == "closed" for case in cases]
    assert {one.reason for one in made if isinstance(one, Drop)} == {"kinds names no open cases"}


def test_a_decoy_has_the_lesion_s_shape_and_lies_where_no_region_is() -> None:
    both = case(NODULE, EFFUSION, about=("nodule",), image=film(size=(128, 80)))
    before, after = (pixels(side) for side in (both.image, one(LesionNoise(place="decoy"), both).rejected.image))
    changed = before != after
    assert not changed[20:60, 10:40].any()
    assert not changed[50:64, 50:64].any()
    assert 0.8 * 30 * 40 < changed.sum() <= 30 * 40
    full = Region("nodule", (0, 0, 40, 62), mask=None)
    assert noised(LesionNoise(place="decoy"), case(full)) == [Drop("c", "there is no place for a decoy")]


@pytest.mark.parametrize("part", [LesionInpainting(), LesionBlur(), LesionBlackout()])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_other_changes_leave_every_pixel_outside_the_lesion_as_it_is(part: Any, mode: str) -> None:
    pair = one(part, case(NODULE, image=film(mode)))
    before, after = pixels(pair.chosen.image), pixels(pair.rejected.image)
    changed = (before != after).reshape(80, 64, -1).any(-1)
    assert changed[22:58, 12:38].mean() > 0.9
    changed[20:60, 10:40] = False
    assert not changed.any()


def test_inpainting_takes_a_bright_spot_away_and_keeps_the_film_s_grain() -> None:
    grain = np.random.default_rng(1).normal(0, 6, (96, 96))
    slope = np.linspace(60, 160, 96)[None] + grain
    spot = slope.copy()
    spot[40:56, 40:56] += 60
    picture = ImageRef.drawn(Image.fromarray(spot.clip(0, 255).astype(np.uint8)))
    region = Region("nodule", (40, 40, 56, 56))
    after = pixels(one(LesionInpainting(), replace(case(region), image=picture)).rejected.image).astype(float)[
        40:56, 40:56
    ]
    assert np.abs(after.mean() - slope[40:56, 40:56].mean()) < 6
    assert 3 < (after - np.linspace(60, 160, 96)[None, 40:56]).std() < 10


def test_blackout_and_blur_do_what_they_say() -> None:
    black = pixels(one(LesionBlackout(edge="hard"), case(NODULE)).rejected.image)
    blurred = pixels(one(LesionBlur(edge="hard"), case(NODULE)).rejected.image)
    assert (black[20:60, 10:40] == 0).all()
    assert blurred[25:55, 15:35].std() < 0.3 * pixels(case().image)[25:55, 15:35].std()


def test_global_noise_covers_the_image_and_drops_what_lesion_noise_drops() -> None:
    pair = one(GlobalNoise(), case(NODULE))
    assert pair.notes["covered"] == 1
    assert pair.notes["regions"][0]["label"] == "nodule"
    assert (pixels(pair.chosen.image) != pixels(pair.rejected.image)).mean() > 0.95
    assert isinstance(noised(GlobalNoise(), case())[0], Drop)
    assert one(GlobalNoise(without_region="noise"), case()).notes["regions"] == []


def test_global_and_lesion_noise_are_the_same_noise_within_the_lesion() -> None:
    lesion = pixels(one(LesionNoise(edge="hard"), case(NODULE)).rejected.image)
    everywhere = pixels(one(GlobalNoise(), case(NODULE)).rejected.image)
    assert (lesion[20:60, 10:40] == everywhere[20:60, 10:40]).all()


@pytest.mark.parametrize("side", [112, 336, 400, 512, 1024, 2500])
def test_the_noise_that_the_backbone_sees_is_as_strong_on_every_size_of_film(side: int) -> None:
    image = Image.new("L", (side, side), 120)
    after = one(GlobalNoise(), case(Region("", (0, 0, side, side)), image=image)).rejected.image.load()
    seen = np.asarray(after.resize((336, 336), Image.Resampling.BICUBIC) if side > 336 else after, dtype=float)
    deviation = seen.std() / 255 / float(np.mean(CLIP_STD))
    assert 0.33 < deviation < 0.55  # step 500 gives 0.5; grains across pixels of the small image cost some


def test_a_grain_of_noise_is_a_square_of_pixels() -> None:
    after = np.asarray(
        add_noise(Image.new("L", (5, 5), 120), np.ones((5, 5), np.float32), 0.75, 0, CLIP_MEAN, CLIP_STD, 2)
    )
    assert (after[0::2][:2] == after[1::2]).all()
    assert (after[:, 0::2][:, :2] == after[:, 1::2]).all()
    assert len(np.unique(after)) == 9


def test_a_large_film_takes_a_fraction_of_a_second() -> None:
    image = film(size=(1024, 1024))
    started = time.process_time()
    one(LesionNoise(), case(Region("", (100, 100, 700, 800)), image=image))
    assert time.process_time() - started < 1.0
