"""The phantom: what its films, questions and backbone promise."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from mmedpo_plugins.phantom.backbone import WEIGHTS, PhantomBackbone
from mmedpo_plugins.phantom.cases import counterfactual
from mmedpo_plugins.phantom.exam import auc, examine, named
from mmedpo_plugins.phantom.film import draw_film, film_of, remove_finding
from mmedpo_plugins.phantom.findings import BALANCED, LABELS, PLACED, SIDED, SIZED, USUAL, PhantomFinding
from mmedpo_plugins.phantom.language import NAMES, NO, YES, ask_presence, report
from mmedpo_plugins.phantom.reader import PhantomReader

from mmedpo import Case, DataError, Setting
from mmedpo.core.records import from_json, to_json
from mmedpo.models.saving import export_backbone

VERSIONS = ("clear", "hard")
FILMS = [film_of(BALANCED, 0, "train", number, version) for version in VERSIONS for number in range(60)]
versions = pytest.mark.parametrize("version", VERSIONS)


@pytest.fixture(scope="module")
def live():
    with PhantomBackbone().open(Setting()) as opened:
        yield opened


def cases(**options) -> list[Case]:
    return list(PhantomReader(**{"images": 30, **options}).read())


# Films


def test_a_film_is_grey_and_of_the_promised_size():
    picture = FILMS[0].picture().load()
    assert (picture.mode, picture.size) == ("L", (112, 112))


def test_the_same_seed_and_findings_give_the_same_pixels():
    for film in FILMS[::6]:
        assert np.array_equal(draw_film(film.seed, film.findings, film.version).pixels, film.pixels)


def test_the_clear_films_stay_as_they_were_when_the_packaged_backbone_learned_them():
    means = [float(film.pixels.mean()) for film in FILMS[:6]]
    assert means == pytest.approx([100.57, 129.62, 127.41, 136.73, 116.76, 100.49], abs=0.05)


def test_removing_a_finding_changes_no_pixel_outside_its_mask():
    for film in FILMS:
        for finding, mask in zip(film.findings, film.masks, strict=True):
            changed = film.pixels != remove_finding(film, finding.label).pixels
            assert not (changed & ~mask).any()


def test_removing_a_finding_changes_nearly_all_pixels_of_its_mask():
    for film in FILMS:
        for finding, mask in zip(film.findings, film.masks, strict=True):
            changed = film.pixels != remove_finding(film, finding.label).pixels
            assert changed.sum() >= 0.8 * mask.sum(), finding


@versions
def test_the_order_in_which_findings_are_given_does_not_matter(version):
    film = next(film for film in FILMS if len(film.findings) == 3 and film.version == version)
    assert np.abs(draw_film(film.seed, film.findings[::-1], version).pixels.astype(int) - film.pixels).max() <= 1


def test_a_box_is_the_tightest_around_its_mask():
    for film in FILMS[::3]:
        for region in film.regions():
            mask = np.asarray(region.mask.load())
            left, top, right, bottom = (int(edge) for edge in region.box)
            assert set(np.unique(mask)) == {0, 255}
            assert mask[top:bottom, left:right].sum() == mask.sum()
            assert all(line.any() for line in (mask[top], mask[bottom - 1], mask[:, left], mask[:, right - 1]))


@versions
@pytest.mark.parametrize("label", sorted(SIDED))
def test_the_patients_left_is_on_the_right_of_the_picture(label, version):
    for seed in range(20):
        masks = [draw_film(seed, [finding(label, side)], version).masks[0] for side in ("right", "left")]
        middles = [np.nonzero(mask)[1].mean() for mask in masks]
        assert middles[0] < 56 < middles[1]


@versions
@pytest.mark.parametrize("label", sorted(PLACED))
def test_upper_is_above_lower(label, version):
    for seed in range(20):
        masks = [draw_film(seed, [finding(label, place=at)], version).masks[0] for at in ("upper", "lower")]
        heights = [np.nonzero(mask)[0].mean() for mask in masks]
        assert heights[0] + 15 < heights[1]


@versions
@pytest.mark.parametrize("label", sorted(SIZED))
def test_large_covers_more_than_small(label, version):
    for seed in range(20):
        sizes = [draw_film(seed, [finding(label, size=size)], version).masks[0].sum() for size in ("small", "large")]
        assert sizes[0] * 1.2 < sizes[1]


def finding(label, side="left", place="upper", size="large") -> PhantomFinding:
    return PhantomFinding(
        label, side if label in SIDED else "", place if label in PLACED else "", size if label in SIZED else ""
    )


# Worlds and splits


def test_the_balanced_world_has_every_finding_side_place_and_size_alike():
    drawn = [one for seed in range(3000) for one in BALANCED.sample(seed)]
    labels = Counter(one.label for one in drawn)
    assert all(0.3 < labels[label] / 3000 < 0.37 for label in LABELS)
    for trait, value in (("side", "left"), ("place", "upper"), ("size", "large")):
        given = [getattr(one, trait) for one in drawn if getattr(one, trait)]
        assert 0.47 < given.count(value) / len(given) < 0.53


def test_the_usual_world_has_habits():
    labels = Counter(one.label for seed in range(2000) for one in USUAL.sample(seed))
    assert labels["effusion"] > 2.5 * labels["pneumothorax"]


def test_no_two_splits_or_seeds_share_an_image():
    splits = ("train", "validation", "test", "detector", "base", "base-validation")
    streams = [(split, seed) for split in splits for seed in (0, 1)]
    hashes = [{case.image.sha256 for case in cases(split=split, seed=seed, images=15)} for split, seed in streams]
    assert len(set().union(*hashes)) == 15 * len(streams)


def test_more_images_keep_those_that_fewer_have():
    assert cases(images=5) == cases(images=9)[: len(cases(images=5))]


# Cases


def test_reading_twice_gives_equal_cases_with_ids_of_their_own():
    first = cases(twins=True)
    assert first == cases(twins=True)
    assert len({case.id for case in first}) == len(first)


def test_cases_survive_json():
    case = cases()[0]
    again = from_json(Case, json.loads(json.dumps(to_json(case))))
    assert again.notes == case.notes
    assert counterfactual(replace(again, kind="closed", answer=YES, about=(case.notes["findings"][0]["label"],)))


def test_the_phantom_is_public_unless_told_otherwise():
    assert PhantomReader.public
    assert not any(case.restricted for case in cases(images=2))
    assert all(case.restricted for case in cases(images=2, restricted=True))


def test_a_closed_answer_is_yes_exactly_where_the_finding_is_there():
    for case in cases(images=60):
        if case.kind == "closed":
            present = {region.label for region in case.regions}
            assert case.answer == (YES if case.about[0] in present else NO)
            assert NAMES[case.about[0]] in case.question


def test_a_question_with_a_side_is_answered_yes_exactly_where_the_finding_is_on_that_side():
    denied = []
    for case in cases(images=60, sides=True, open_questions=0, reports=0):
        label = next(label for label in LABELS if NAMES[label] in case.question)
        side = next((side for side in ("left", "right") if f" {side} " in case.question), "")
        assert bool(side) == (label in SIDED)
        there = {(one["label"], one["side"]) for one in case.notes["findings"]}
        assert case.answer == (YES if (label, side) in there else NO)
        mirrored = case.answer == NO and label in {name for name, _ in there}
        assert case.about == (() if mirrored else (label,))  # no region shows what a denied side is about
        denied += [mirrored] if case.answer == NO else []
    assert 0.35 < sum(denied) / len(denied) < 0.5


def test_half_of_the_closed_answers_are_yes():
    closed = [case for case in cases(images=250, open_questions=0, reports=0) if case.kind == "closed"]
    for questions in (2, 4):
        asked = [case for case in closed if int(case.id.rsplit("q", 1)[1]) < questions]
        assert 0.47 < sum(case.answer == YES for case in asked) / len(asked) < 0.53


def test_an_open_answer_tells_the_trait_that_the_film_has():
    for case in cases(images=60, open_questions=9):
        if case.kind == "open":
            there = next(one for one in case.notes["findings"] if one["label"] == case.about[0])
            told = case.answer.lower()
            expected = {
                "side": there["side"],
                "place": f"{there['side']} {there['place']} lobe",
                "size": there["size"],
                "severity": {"small": "mild", "large": "severe"}.get(there["size"]),
            }
            assert told == expected[case.notes["aspect"]]


def test_a_report_names_exactly_the_findings_that_are_there():
    for case in cases(images=60):
        if case.kind == "report":
            assert named(case.answer) == {region.label for region in case.regions}


def test_a_report_of_a_healthy_chest_calls_it_healthy():
    assert report([]) == "The lungs are clear. The heart is normal in size."


def test_the_regions_of_a_case_are_all_findings_of_its_image():
    for case in cases():
        assert [region.label for region in case.regions] == [one["label"] for one in case.notes["findings"]]


def test_about_seven_questions_are_asked_an_image():
    assert 6.3 < len(cases(images=120)) / 120 < 7.1


def test_a_twin_shows_the_same_film_without_the_finding():
    for case in cases(images=40):
        if case.kind == "closed" and case.answer == YES:
            twin = counterfactual(case)
            assert twin.answer == NO
            assert twin.group == case.group
            mask = next(np.asarray(region.mask.load()) for region in case.regions if region.label == case.about[0])
            same = np.asarray(twin.image.load()) == np.asarray(case.image.load())
            assert same[mask == 0].all()
            assert not same.all()
            assert case.about[0] not in {region.label for region in twin.regions}


def test_twins_follow_their_cases_when_asked_for():
    read = cases(twins=True)
    for before, after in pairwise(read):
        if "twin_of" in after.notes:
            assert after == counterfactual(before)
    assert sum("twin_of" in case.notes for case in read) == sum(c.kind == "closed" and c.answer == YES for c in read)


def test_only_a_case_answered_yes_has_a_twin():
    no = next(case for case in cases() if case.answer == NO)
    with pytest.raises(ValueError, match="twin"):
        counterfactual(no)


def test_importing_the_plugin_brings_in_neither_numpy_nor_torch():
    heavy = "('numpy', 'torch', 'PIL', 'transformers')"
    code = f"import sys, mmedpo_plugins.phantom.reader; print([name for name in {heavy} if name in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )


# The backbone


def test_the_shipped_weights_are_small():
    assert (WEIGHTS / "model.safetensors").stat().st_size <= 4_000_000


def test_every_question_and_answer_is_made_of_known_words(live):
    unknown = live.tokenizer.unk_token_id
    for case in cases(images=150, split="detector", open_questions=9, reports=2):
        encoding = live.encode(case.images, case.question, case.answer)
        assert unknown not in encoding.ids
        assert live.tokenizer.decode(encoding.ids[encoding.answer_start : -1]) == case.answer


def test_a_question_is_read_in_small_letters_too(live):
    assert live.tokenizer.unk_token_id not in live.tokenizer("is there a nodule?").input_ids


@pytest.mark.slow
def test_the_backbone_sees_but_leans_on_what_is_usual(live):
    found = examine(live, "base-validation", images=80)
    assert found["auc"] > 0.93
    assert found["side"] > 0.65
    assert 0.60 < found["closed"] < 0.85
    assert found["unparsed"] < 0.02
    assert found["forced_choice"] == pytest.approx(found["closed"], abs=0.02)


def test_a_sample_depends_on_its_seed_alone(live):
    asked = cases(images=12)
    seeds = list(range(len(asked)))
    together = live.answer(asked, temperature=1.0, seeds=seeds)
    backwards = live.answer(asked[::-1], temperature=1.0, seeds=seeds[::-1])
    alone = [
        live.answer([case], temperature=1.0, seeds=[seed])[0] for case, seed in zip(asked[:9], seeds, strict=False)
    ]
    assert together == backwards[::-1]
    assert together[:9] == alone


def test_samples_are_often_wrong_and_differ(live):
    asked = [case for case in cases(images=20) if case.kind != "report"]
    answers = [live.answer(asked, temperature=1.0, seeds=[seed] * len(asked)) for seed in range(4)]
    wrong = np.mean([said != case.answer for row in answers for said, case in zip(row, asked, strict=True)])
    varied = np.mean([len(set(said)) > 1 for said in zip(*answers, strict=True)])
    assert 0.1 < wrong < 0.6
    assert varied > 0.3


def test_any_image_is_read_as_a_small_grey_one(live):
    from mmedpo import ImageRef

    case = cases()[0]
    large = ImageRef.drawn(case.image.load().resize((448, 448)).convert("RGB"))
    assert live.encode([large], "Is there a nodule?", "No").vision[0]["pixel_values"].shape == (1, 3, 112, 112)
    assert live.answer([replace(case, image=large)])[0]


def test_stock_transformers_reads_the_same_from_the_shipped_folder(live):
    import torch
    from transformers import AutoTokenizer, LlavaForConditionalGeneration, LlavaProcessor

    case = cases()[0]
    model = LlavaForConditionalGeneration.from_pretrained(WEIGHTS, dtype=torch.float32).eval()
    processor = LlavaProcessor.from_pretrained(WEIGHTS, backend="pil")
    assert AutoTokenizer.from_pretrained(WEIGHTS).get_vocab() == live.tokenizer.get_vocab()
    content = [{"type": "image"}, {"type": "text", "text": case.question}]
    text = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    inputs = processor(images=[case.image.load()], text=text, return_tensors="pt")
    ours = live.prompt(case.images, case.question)
    assert inputs["input_ids"][0].tolist() == list(ours.ids)
    assert torch.allclose(inputs["pixel_values"], ours.vision[0]["pixel_values"], atol=1e-5)
    with torch.no_grad():
        out = model.generate(**inputs, max_new_tokens=40, do_sample=False)
    said = processor.tokenizer.decode(out[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    assert said == live.answer([case])[0]


def test_an_export_answers_like_the_backbone(live, tmp_path):
    asked = cases(images=5)
    export_backbone(PhantomBackbone(), tmp_path / "out")
    with PhantomBackbone(checkpoint=tmp_path / "out").open(Setting()) as again:
        assert again.answer(asked) == live.answer(asked)


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(DataError, match="no phantom model"), PhantomBackbone(checkpoint=tmp_path).open(Setting()):
        pass


def test_answering_is_fast(live):
    asked = [case for case in cases(images=100) if case.kind == "closed"]
    started = time.process_time()
    live.answer(asked)
    assert (time.process_time() - started) / len(asked) < 0.06


# The examination


def test_auc_counts_ties_half():
    assert auc([2.0, 1.0, 1.0, 0.0], [True, True, False, False]) == 0.875


def test_a_closed_question_is_plain_english():
    assert ask_presence("effusion", there=True).question == "Is there a pleural effusion?"
    assert Path(WEIGHTS).name == "weights"
