"""Training on token trees: the adapter of plain pairs, with less work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from losses import make_losses, train_options
from safetensors.torch import load_file
from tiny_llava import make_backbone, make_model, make_pairs

import mmedpo.models.trees.tree_attention
from mmedpo.models.vision.vision_cache import VisionCache
from mmedpo.recipe.train_options import LoraOptions, ProjectorOptions
from mmedpo.registry.contracts.setting import Setting
from mmedpo.runtime.malloc import keep_memory
from mmedpo.store.run_files.counts import sum_counts
from mmedpo.store.run_files.measures import TrainingRecord
from mmedpo.train.batches.encoding import PixelCache, encode_pair
from mmedpo.train.batches.pair_collator import PairCollator
from mmedpo.train.batches.tree_collator import TreeCollator
from mmedpo.train.fit import train_adapter

LORA = LoraOptions(r=4, alpha=8)
SGD = {"max_grad_norm": 0.0}


def fit(folder: Path, backbone: Any = None, count: int = 12, pairs: Any = None, **options: Any) -> TrainingRecord:
    chosen = train_options(
        **{"lora": LORA, "validation": 0.0, "learning_rate": 0.1, "epochs": 1, "batch_size": 12, "warmup_ratio": 0,
           "scheduler": "constant", "optimizer": "sgd", "trl": SGD, **options}
    )  # fmt: skip
    return train_adapter(
        pairs or make_pairs(count), backbone or make_backbone(), chosen, folder, Setting(seed=5), lambda event: None
    )


def weights(folder: Path) -> torch.Tensor:
    found = load_file(folder / "adapter" / "adapter_model.safetensors")
    return torch.cat([value.flatten() for name, value in sorted(found.items()) if "lora_A" not in name])


@pytest.fixture
def tower_images(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count the images that vision towers see."""
    from transformers import CLIPVisionModel

    seen: list[int] = []
    forward = CLIPVisionModel.forward

    def counted(self: Any, pixel_values: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        seen.append(len(pixel_values))
        return forward(self, pixel_values, *args, **kwargs)

    monkeypatch.setattr(CLIPVisionModel, "forward", counted)
    return seen


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"row_tokens": 10},
        {"loss": make_losses("ipo", nll=0.3)},
        {"projector": ProjectorOptions(learning_rate=0.01)},
        {"projector": ProjectorOptions(learning_rate=0.01), "vision_memory": 0},
        {"gradient_checkpointing": True},
        {"batch_size": 3, "accumulate": 4},
        {"pairs": make_pairs(12, several=True)},
        {"pairs": make_pairs(12, several=True), "vision_memory": 0},
    ],
    ids=[
        "plain", "a row a tree", "ipo", "projector", "projector and pixels", "checkpointing", "accumulating",
        "several images", "several images and pixels",
    ],
)  # fmt: skip
def test_a_step_on_trees_is_a_step_on_pairs(tmp_path: Path, options: dict[str, Any]) -> None:
    trees = fit(tmp_path / "tree", **options)
    pairs = fit(tmp_path / "pairs", **options, packing="pairs")
    assert (trees.packing, pairs.packing) == ("tree", "pairs")
    one, other = weights(tmp_path / "tree"), weights(tmp_path / "pairs")
    start = torch.zeros_like(other)
    if "projector" in options:
        part = make_model().model.multi_modal_projector.state_dict()
        width = sum(value.numel() for value in part.values())
        start[-width:] = torch.cat([part[name].flatten() for name in sorted(part)])
    assert ((one - other).norm() / (other - start).norm()).item() < 1e-5


@pytest.mark.parametrize("packing", ["tree", "pairs"])
@pytest.mark.parametrize("projector", [None, ProjectorOptions()], ids=["frozen", "projector trains"])
def test_the_tower_looks_at_each_distinct_image_once(
    tmp_path: Path, tower_images: list[int], packing: str, projector: ProjectorOptions | None
) -> None:
    fit(tmp_path, epochs=3, batch_size=4, packing=packing, projector=projector)
    assert sum(tower_images) == 10  # 6 images, and 4 noised ones


def test_without_memory_for_features_it_looks_each_time(tmp_path: Path, tower_images: list[int]) -> None:
    fit(tmp_path, epochs=3, batch_size=4, packing="pairs", vision_memory=0)
    assert sum(tower_images) == (3 + 1) * 24  # each side, in three epochs and for the reference


@pytest.mark.parametrize("packing", ["tree", "pairs"])
def test_an_image_that_stands_in_several_lists_is_looked_at_once(
    tmp_path: Path, tower_images: list[int], packing: str
) -> None:
    fit(tmp_path, pairs=make_pairs(12, several=True), packing=packing)
    assert sum(tower_images) == 10  # as where each stands alone


def test_attention_leaves_out_what_no_token_sees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts: list[int] = []
    own = mmedpo.models.trees.tree_attention._attend_tree
    monkeypatch.setattr(mmedpo.models.trees.tree_attention, "_attend_tree", lambda *args: parts.append(1) or own(*args))
    backbone = make_backbone()
    fit(tmp_path, backbone)
    assert parts
    assert backbone.model.config.get_text_config()._attn_implementation == "sdpa"


def test_a_batch_of_trees_has_each_shared_token_once() -> None:
    backbone, pixels = make_backbone(), PixelCache(make_backbone())
    pairs = [encode_pair(weighted, backbone, pixels) for weighted in make_pairs(2, same_image=True)]
    batch = TreeCollator(backbone, pairs, pixels, {}, 400).make_batch(pairs)
    plain = PairCollator(backbone, pairs, pixels, {}).make_batch(pairs)
    assert batch["inputs"]["input_ids"].shape[0] == 1
    assert (batch["inputs"]["input_ids"] == 3).sum() == 4  # one image
    assert (plain["inputs"]["input_ids"] == 3).sum() == 16
    assert len(batch["images"]) == 1


def test_where_trees_would_not_be_exact_pairs_are_trained_and_one_line_says_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    backbone = make_backbone()
    backbone.causal = False
    result = fit(tmp_path, backbone)
    assert result.packing == "pairs"
    assert capsys.readouterr().err.splitlines() == [
        "mmedpo: training on plain pairs instead of token trees: LlavaForConditionalGeneration: its attention is not "
        "known to be purely causal"
    ]


def test_a_model_that_takes_no_features_is_trained_on_pixels_and_one_line_says_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "mmedpo.models.vision.vision_cache.why_no_features", lambda *model: "it takes no ready image features"
    )
    fit(tmp_path / "pixels")
    assert capsys.readouterr().err == (
        "mmedpo: the vision tower looks at every image each time: it takes no ready image features\n"
    )
    monkeypatch.undo()
    fit(tmp_path / "kept")
    one, other = weights(tmp_path / "pixels"), weights(tmp_path / "kept")
    assert ((one - other).norm() / other.norm()).item() < 1e-5


def test_validation_and_every_epoch_work_on_trees(tmp_path: Path) -> None:
    result = fit(tmp_path, count=24, validation=0.3, epochs=2, batch_size=4, accumulate=2)
    assert result.validation["all"].pairs == sum_counts(result.counts, "held_out_pairs") > 0
    assert sum(entry["pairs"] for entry in result.history) == 2 * sum_counts(result.counts, "trained_pairs")


def test_a_vision_cache_without_memory_says_so() -> None:
    assert VisionCache(make_backbone(), None).why_not == "train.vision_memory is 0"


def test_glibc_is_told_to_keep_memory() -> None:
    import platform

    if platform.libc_ver()[0] != "glibc":
        pytest.skip("another allocator")
    assert keep_memory()
