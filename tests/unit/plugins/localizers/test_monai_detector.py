"""The detector learns from boxes, says what it is, finds boxes in the image's own pixels; bundles drop in."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmedpo_plugins.localizers.monai_detector.bundle_code import hash_code
from mmedpo_plugins.localizers.monai_detector.checkpoint import describe
from mmedpo_plugins.localizers.monai_detector.detection_metrics import (
    average_precision,
    best_threshold,
    calibrate,
    calibration_error,
    match_boxes,
)
from mmedpo_plugins.localizers.monai_detector.films import FilmDetections, read_annotated
from mmedpo_plugins.localizers.monai_detector.learning_options import LearningOptions
from mmedpo_plugins.localizers.monai_detector.monai_bundle import MonaiBundle
from mmedpo_plugins.localizers.monai_detector.monai_detector import MonaiDetector
from mmedpo_plugins.localizers.monai_detector.network import NetworkShape, build_detector
from PIL import Image
from typer.testing import CliRunner

from mmedpo import Case, DataError, ImageRef, RecipeError, Region, Setting
from mmedpo.cli.main import app
from mmedpo.recipe.loading import load_recipe

QUICK = LearningOptions(size=64, width=8, steps=160, batch_size=4, examine_every=80)


def squares(count: int, seed: int, size: tuple[int, int] = (64, 64)) -> list[Case]:
    """Films with one bright square or one dark one, or none."""
    random = np.random.default_rng(seed)
    cases = []
    for number in range(count):
        pixels = random.normal(110, 8, (size[1], size[0]))
        regions: tuple[Region, ...] = ()
        if number % 4:
            side = int(random.integers(12, 22)) * size[0] // 64
            left, top = (int(random.integers(0, limit - side)) for limit in size)
            pixels[top : top + side, left : left + side] += 70 if number % 2 else -70
            regions = (Region("bright" if number % 2 else "dark", (left, top, left + side, top + side)),)
        picture = ImageRef.drawn(Image.fromarray(pixels.clip(0, 255).astype(np.uint8)))
        cases.append(Case(f"{seed}-{number}", picture, "What?", "That.", regions=regions))
    return cases


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> tuple[MonaiDetector, dict[str, Any]]:
    torch.set_num_threads(1)
    part = MonaiDetector(checkpoint=tmp_path_factory.mktemp("detector") / "squares.safetensors", learning=QUICK)
    cases: dict[str, Sequence[Case]] = {"train": squares(100, 0), "validation": squares(24, 1), "test": squares(24, 2)}
    return part, part.learn(cases, Setting(), lambda step, steps: None)


@pytest.mark.slow
def test_a_detector_learns_bright_and_dark_squares(learned: tuple[MonaiDetector, dict[str, Any]]) -> None:
    part, facts = learned
    assert facts["test"]["map"] > 0.8
    assert facts["test"]["map_by_label"].keys() == {"bright", "dark"}
    assert facts["test"]["calibration_error"] < 0.2
    assert Image.open(part.checkpoint.with_suffix(".png")).size == (1024, 788)


@pytest.mark.slow
def test_its_checkpoint_says_what_it_is_and_where_it_is_from(learned: tuple[MonaiDetector, dict[str, Any]]) -> None:
    described = describe(learned[0].checkpoint)
    assert described["shape"]["labels"] == ["bright", "dark"]
    assert described["facts"]["images"] == {"train": 100, "validation": 24, "test": 24}
    assert 0 < described["threshold"] < 1


@pytest.mark.slow
@pytest.mark.parametrize("size", [(64, 64), (160, 160), (200, 150)])
def test_boxes_come_in_the_pixels_of_the_image(
    learned: tuple[MonaiDetector, dict[str, Any]], size: tuple[int, int]
) -> None:
    cases = [case for case in squares(24, 3, size) if case.regions]
    with learned[0].open(Setting()) as live:
        found = live.localize(cases, None)
    hits = 0
    for case, regions in zip(cases, found, strict=True):
        assert len(regions) <= learned[0].most
        for region in regions:
            assert 0 <= region.box[0] < region.box[2] <= size[0]
            assert 0 <= region.box[1] < region.box[3] <= size[1]
        truth = case.regions[0]
        hits += any(region.label == truth.label and _overlap(region.box, truth.box) > 0.3 for region in regions)
    assert hits / len(cases) > 0.7


def _overlap(one: Sequence[float], other: Sequence[float]) -> float:
    shared = max(0.0, min(one[2], other[2]) - max(one[0], other[0])) * max(
        0.0, min(one[3], other[3]) - max(one[1], other[1])
    )
    area = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return shared / (area - shared)


@pytest.mark.slow
def test_a_threshold_of_the_recipe_takes_the_place_of_its_own(learned: tuple[MonaiDetector, dict[str, Any]]) -> None:
    def count(**options: Any) -> int:
        with learned[0].model_copy(update=options).open(Setting()) as live:
            return sum(map(len, live.localize(squares(8, 4), None)))

    assert count(threshold=1.0) == 0 < count() <= count(threshold=0.0)
    assert count(threshold=0.0, most=1) <= 8


@pytest.mark.slow
def test_the_same_seed_gives_the_same_weights(tmp_path: Path) -> None:
    few = QUICK.model_copy(update={"steps": 4, "examine_every": 4})
    cases: dict[str, Sequence[Case]] = {"train": squares(8, 0), "validation": squares(8, 1)}
    for name in ("one", "two"):
        part = MonaiDetector(checkpoint=tmp_path / f"{name}.safetensors", learning=few)
        part.learn(cases, Setting(seed=3), lambda step, steps: None)
    assert (tmp_path / "one.safetensors").read_bytes() == (tmp_path / "two.safetensors").read_bytes()


@pytest.mark.slow
def test_large_films_are_read_window_by_window(tmp_path: Path) -> None:
    options = QUICK.model_copy(update={"size": 192, "window": 64, "flip": True, "steps": 3, "examine_every": 3})
    part = MonaiDetector(checkpoint=tmp_path / "d.safetensors", learning=options, threshold=0.0)
    cases = squares(8, 0, (192, 128))
    part.learn({"train": cases, "validation": squares(4, 1, (192, 128))}, Setting(), lambda step, steps: None)
    with part.open(Setting()) as live:
        assert live._trained.detector.inferer is not None
        assert len(live.localize(cases[:2], None)) == 2


def test_cases_without_a_labelled_region_teach_nothing(tmp_path: Path) -> None:
    bare = [Case("a", ImageRef.drawn(Image.new("L", (64, 64))), "What?", "That.")]
    part = MonaiDetector(checkpoint=tmp_path / "d.safetensors", learning=QUICK)
    with pytest.raises(DataError, match="no labelled region"):
        part.learn({"train": bare, "validation": bare}, Setting(), lambda step, steps: None)


@pytest.mark.parametrize("content", [None, b"", b"no tensors"])
def test_a_file_that_is_no_detector_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "d.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=r"d\.safetensors"):
        describe(path)


def detection(*rows: tuple[tuple[float, float, float, float], int, float]) -> FilmDetections:
    boxes = np.array([box for box, _, _ in rows], dtype=np.float32).reshape(-1, 4)
    return FilmDetections(boxes, np.array([label for _, label, _ in rows]), np.array([score for *_, score in rows]))


TRUTH = {"box": np.array([[0, 0, 10, 10], [20, 20, 40, 40]], dtype=np.float32), "label": np.array([0, 1])}


def test_average_precision_is_one_when_all_is_found_and_counts_present_labels_only() -> None:
    perfect = detection(((0, 0, 10, 10), 0, 0.9), ((20, 20, 40, 40), 1, 0.8))
    assert average_precision([perfect], [TRUTH])["by_label"] == pytest.approx({0: 1, 1: 1})
    half = detection(((0, 0, 10, 10), 0, 0.9))
    assert average_precision([half], [TRUTH])["map"] == pytest.approx(0.5)


def test_a_truth_is_hit_once_and_only_by_its_own_label() -> None:
    found = detection(((0, 0, 10, 10), 0, 0.9), ((0, 0, 10, 9), 0, 0.8), ((20, 20, 40, 40), 0, 0.7))
    assert list(match_boxes(found, TRUTH)) == [True, False, False]


def test_calibration_turns_scores_into_shares_of_hits() -> None:
    random = np.random.default_rng(0)
    chance = random.uniform(0.05, 0.95, 4000)
    hits = random.uniform(size=4000) < chance
    scores = 1 / (1 + np.exp(-(0.4 * np.log(chance / (1 - chance)) - 1)))  # too timid, and shifted
    fitted = calibrate(scores, hits)
    assert fitted.scale == pytest.approx(2.5, rel=0.1)
    assert calibration_error(fitted(scores), hits) < 0.03 < calibration_error(scores, hits)


def test_the_threshold_is_where_f1_is_greatest() -> None:
    confidences, hits = np.array([0.9, 0.8, 0.3, 0.2]), np.array([True, True, False, False])
    assert best_threshold(confidences, hits, wanted=2) == 0.8


RECIPE = """
output: {root}/run
data: {{use: phantom, images: 4}}
backbone: {{use: phantom}}
localize:
  use: monai-detector
  checkpoint: {root}/d.safetensors
  learning: {{size: 112, width: 8, steps: 2, batch_size: 2, examine_every: 2}}
detector:
  train: {{use: phantom, split: detector, images: 6}}
  validation: {{use: phantom, split: {split}, images: 4}}
disprefer: [{{use: lesion-noise}}]
score: [{{use: detector-confidence}}]
"""


def written(folder: Path, split: str = "validation") -> Path:
    path = folder / "recipe.yaml"
    path.write_text(RECIPE.format(root=folder, split=split))
    return path


@pytest.mark.slow
def test_the_command_trains_once_and_refuses_a_checkpoint_of_other_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path, runner = written(tmp_path), CliRunner()
    first = runner.invoke(app, ["detector", "train", str(path), "--json"], standalone_mode=False)
    assert first.exit_code == 0, first.output
    facts = json.loads(first.stdout)
    assert facts["images"] == {"train": 6, "validation": 4}
    stamp = (tmp_path / "d.safetensors").stat().st_mtime_ns
    (tmp_path / "notes.txt").write_text("what lies in the current folder is no setting")
    again = runner.invoke(app, ["detector", "train", str(path), "--json"], standalone_mode=False)
    assert json.loads(again.stdout)["validation"] == facts["validation"]
    assert (tmp_path / "d.safetensors").stat().st_mtime_ns == stamp
    other = runner.invoke(app, ["detector", "train", str(path), "localize.learning.steps=3"])
    assert other.exit_code == 2
    assert "trained with other options" in other.stderr


def test_sets_that_share_an_image_are_refused(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["detector", "train", str(written(tmp_path, "detector"))])
    assert done.exit_code == 4
    assert "is in train and validation" in done.stderr


def test_a_missing_checkpoint_with_nothing_to_learn_from_is_a_mistake_of_the_recipe(tmp_path: Path) -> None:
    path = written(tmp_path)
    text = path.read_text()
    path.write_text(text[: text.index("detector:\n")] + text[text.index("disprefer:") :])
    with pytest.raises(RecipeError, match=r"d\.safetensors: there is no such file; say in 'detector:'"):
        load_recipe(path)


def bundle(folder: Path, config: dict[str, Any], network: torch.nn.Module, channels: dict[str, str]) -> Path:
    (folder / "configs").mkdir(parents=True)
    (folder / "models").mkdir()
    (folder / "configs" / "inference.json").write_text(json.dumps(config))
    form = {"network_data_format": {"outputs": {"pred": {"channel_def": channels}}}}
    (folder / "configs" / "metadata.json").write_text(json.dumps(form))
    torch.save(network.state_dict(), folder / "models" / "model.pt")
    return folder


def bright_pixels() -> torch.nn.Conv2d:
    """A network of one pixel: background, and a finding where grey values, scaled to [0, 1], exceed a half."""
    network = torch.nn.Conv2d(1, 2, 1)
    with torch.no_grad():
        network.weight[:] = torch.tensor([0.0, 40.0]).reshape(2, 1, 1, 1)
        network.bias[:] = torch.tensor([0.0, -20.0])
    return network


SEGMENTS = {
    "network_def": {"_target_": "torch.nn.Conv2d", "in_channels": 1, "out_channels": 2, "kernel_size": 1},
    "preprocessing": {
        "_target_": "Compose",
        "transforms": [
            {"_target_": "LoadImaged", "keys": "image"},
            {"_target_": "ScaleIntensityRanged", "keys": "image", "a_min": 0, "a_max": 255, "b_min": 0, "b_max": 1},
        ],
    },
    "inferer": {"_target_": "SimpleInferer"},
}


@pytest.mark.parametrize("size", [None, 50])
def test_a_segmentation_bundle_gives_a_region_with_a_mask_for_each_patch(tmp_path: Path, size: int | None) -> None:
    root = bundle(tmp_path / "b", SEGMENTS, bright_pixels(), {"0": "background", "1": "opacity"})
    pixels = np.full((80, 100), 40, np.uint8)
    pixels[10:30, 20:50] = pixels[60:70, 80:95] = 250
    case = Case("c", ImageRef.drawn(Image.fromarray(pixels)), "What?", "That.")
    with MonaiBundle(root=root, code=hash_code(root), size=size).open(Setting()) as live:
        ((one, two),) = live.localize([case], None)
    assert {one.label, two.label} == {"opacity"}
    larger = max((one, two), key=lambda region: region.box[2] - region.box[0])
    assert larger.box == pytest.approx((20, 10, 50, 30), abs=2)
    assert larger.mask is not None
    assert larger.mask.load().size == (100, 80)
    assert larger.confidence > 0.9


@pytest.mark.slow
def test_a_detection_bundle_drops_in(tmp_path: Path) -> None:
    torch.manual_seed(0)
    shape = {
        "_target_": "mmedpo_plugins.localizers.monai_detector.network.NetworkShape",
        "labels": ["nodule"],
        "size": 64,
        "width": 8,
    }
    config = {
        "detector": {"_target_": "mmedpo_plugins.localizers.monai_detector.network.build_detector", "shape": shape},
        "detector_ops": ["$@detector.set_box_selector_parameters(score_thresh=0.0)"],  # it has learned nothing
    }
    network = build_detector(NetworkShape(("nodule",), 64, width=8)).network
    root = bundle(tmp_path / "b", config, network, {"0": "nodule"})
    with MonaiBundle(root=root, code=hash_code(root), threshold=0.0).open(Setting()) as live:
        ((*regions,),) = live.localize(squares(1, 0), None)
    assert 0 < len(regions) <= 5
    assert {region.label for region in regions} == {"nodule"}


def test_a_folder_that_is_no_bundle_or_lacks_its_weights_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no MONAI bundle.*configs/inference"):
        MonaiBundle(root=tmp_path, code=hash_code(tmp_path)).open(Setting())
    root = bundle(tmp_path / "b", SEGMENTS, bright_pixels(), {"0": "background", "1": "opacity"})
    (root / "models" / "model.pt").unlink()
    with pytest.raises(DataError, match=r"model\.pt: there is no such file"):
        MonaiBundle(root=root, code=hash_code(root)).open(Setting())
    (root / "configs" / "inference.json").write_text(json.dumps({"network_def": {"_target_": "torch.nn.Nothing"}}))
    with pytest.raises(DataError, match=r"inference\.json: cannot be built"):
        MonaiBundle(root=root, code=hash_code(root)).open(Setting())


@pytest.mark.parametrize(
    "evil",
    [
        {"network_def": "$__import__('pathlib').Path('{place}').write_text('')"},
        {"network_def": {"_target_": "pathlib.Path.write_text", "self": "$open('{place}', 'w')", "data": ""}},
        {"network_def": {**SEGMENTS["network_def"], "_disabled_": "$open('{place}', 'w') and False"}},
    ],
)
def test_a_bundle_s_code_is_not_run_before_the_recipe_says_that_it_was_read(
    evil: dict[str, Any], tmp_path: Path
) -> None:
    root = bundle(tmp_path / "b", SEGMENTS, bright_pixels(), {"0": "background", "1": "opacity"})
    read = MonaiBundle(root=root, code=hash_code(root))
    assert list(read.lacking()) == []
    config = json.dumps({**SEGMENTS, **evil}).replace("{place}", str(tmp_path / "owned"))
    (root / "configs" / "inference.json").write_text(config)
    for part, told in ((read, "no longer what"), (MonaiBundle(root=root), "and a run opens none that nobody has read")):
        assert [told in line and hash_code(root) in line for line in part.lacking()] == [True]
        with pytest.raises(DataError, match=told):
            part.open(Setting())
    assert not (tmp_path / "owned").exists()


def test_a_film_s_boxes_are_scaled_with_it() -> None:
    case = squares(2, 0, (128, 96))[1]
    example = read_annotated(case, ["bright"], 64)
    left, top, right_side, bottom = case.regions[0].box
    assert example["image"].shape == (1, 48, 64)
    assert example["box"][0].tolist() == [top / 2, left / 2, bottom / 2, right_side / 2]
