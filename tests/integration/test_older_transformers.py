"""What is merged opens with transformers 4 as with ours: nothing missing, the same tokens, pixels and logits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from mmedpo_plugins.backbones.llava_med.llava_med import LlavaMedBackbone
from mmedpo_plugins.phantom.backbone import PhantomBackbone
from older_transformers import PINS, OlderTransformers
from open_saved import QUESTION, draw_image, open_folder
from tiny_llava_med import make_model, released_tensors, write_release

from mmedpo import Backbone, ImageRef, Setting
from mmedpo.models.saving import export_backbone

pytestmark = pytest.mark.slow


def llava_med(folder: Path) -> Backbone:
    return LlavaMedBackbone(checkpoint=str(write_release(folder, released_tensors(make_model()))))


FAMILIES: dict[str, Callable[[Path], Backbone]] = {"llava-med": llava_med, "phantom": lambda folder: PhantomBackbone()}


@dataclass(frozen=True)
class Merged:
    """A model with an adapter merged into it, and what the two gave before."""

    folder: Path
    tokens: list[int]
    pixels: list[float]
    logits: torch.Tensor  # of the last four tokens


def merge(part: Backbone, place: Path) -> Merged:
    """Merge a random adapter with a projector of its own."""
    from peft import LoraConfig, get_peft_model

    with part.open(Setting()) as live:
        projector = [name for name, _ in live.model.named_modules() if name.endswith("multi_modal_projector")]
        shape = LoraConfig(r=2, target_modules=live.lora_targets, modules_to_save=projector, init_lora_weights=False)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            model = get_peft_model(live.model, shape).eval()
        model.save_pretrained(place / "adapter")
        live.base.write(place / "adapter")
        encoding = live.encode(ImageRef.drawn(draw_image()), QUESTION, "")
        tokens = list(encoding.ids[: encoding.answer_start])
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([tokens]), **encoding.vision).logits[0, -4:]
    export_backbone(part, place / "merged", place / "adapter")
    return Merged(place / "merged", tokens, encoding.vision["pixel_values"].flatten().tolist(), logits)


@pytest.fixture(scope="module")
def merged(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Merged]:
    place = tmp_path_factory.mktemp("families")
    return {name: merge(make(place / name), place / f"{name}-merged") for name, make in FAMILIES.items()}


@pytest.fixture(scope="module", params=["this one", *PINS])
def opened(
    request: pytest.FixtureRequest, merged: dict[str, Merged], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    folders = [one.folder for one in merged.values()]
    if request.param == "this one":
        return dict(zip(merged, map(open_folder, folders), strict=True))
    older = OlderTransformers.install(tmp_path_factory.mktemp(request.param) / "venv", request.param)
    return dict(zip(merged, older.open(folders), strict=True))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_merged_model_opens_as_the_same_in_every_version(
    family: str, merged: dict[str, Merged], opened: dict[str, Any]
) -> None:
    wanted, found = merged[family], opened[family]
    assert found["amiss"] == {}  # no weight is missing, left over or made up
    assert found["tokens"] == wanted.tokens
    assert found["pixels"] == pytest.approx(wanted.pixels, abs=1e-5)
    torch.testing.assert_close(torch.tensor(found["logits"]), wanted.logits, atol=1e-4, rtol=0)
    assert found["words"] == open_folder(wanted.folder)["words"]
