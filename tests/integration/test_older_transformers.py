"""What is merged opens with transformers 4 as with ours: nothing missing, the same tokens, pixels and logits."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from mmedpo_plugins.backbones.hf_vlm.hf_vlm import HfVlmBackbone
from mmedpo_plugins.backbones.hf_vlm.target_modules import lora_targets, projector
from mmedpo_plugins.backbones.llava_med.llava_med import LlavaMedBackbone
from mmedpo_plugins.phantom.backbone import PhantomBackbone
from older_transformers import PINS, OlderTransformers
from open_saved import QUESTION, TEXT, draw_image, open_folder
from safetensors.torch import load_file, save_file
from tiny_families import FAMILIES
from tiny_hf_vlm import write_gemma3, write_idefics3, write_llava
from tiny_llava import make_tokenizer
from tiny_llava_llama import TinyRelease
from tiny_llava_med import make_model, released_tensors, write_release
from tiny_models import IMAGE
from tiny_tokenizers import TOKENIZERS, write_tokenizer

from mmedpo import Backbone, ImageRef, Setting
from mmedpo.models.files.older_form import add_older_form
from mmedpo.models.saving import export_backbone
from mmedpo.testing import TinyBackbone

pytestmark = pytest.mark.slow

UNKNOWN = {"4.52.4": {"qwen3-vl", "glm4v"}}  # families younger than a version
# 4.57 puts the patches of these where neither older nor newer ones do: here they look alike wherever they are.
MISPLACED = {"idefics2", "idefics3", "smolvlm"}
ADAPTER_SEED, FAMILY_SEED = 1, 3


@dataclass(frozen=True)
class Merged:
    """A model with an adapter merged into it, and what the two gave before."""

    folder: Path
    logits: torch.Tensor  # of the last four tokens
    read: dict[str, Any]  # tokens and pixels of the question, where there is a processor


def put_adapter(live: Any) -> Any:
    """Wrap a live model in a random adapter with a projector of its own."""
    from peft import LoraConfig, get_peft_model

    own = [name for name, _ in live.model.named_modules() if re.fullmatch(live.projector, name)]
    shape = LoraConfig(r=2, target_modules=live.lora_targets, modules_to_save=own, init_lora_weights=False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(ADAPTER_SEED)
        return get_peft_model(live.model, shape).eval()


# Parts that read images and words


def llava_med(folder: Path) -> Backbone:
    return LlavaMedBackbone(checkpoint=str(write_release(folder, released_tensors(make_model()))))


def idefics3(folder: Path) -> Backbone:
    weights = write_idefics3(folder) / "model.safetensors"
    tensors = {name: value * ("position_embedding" not in name) for name, value in load_file(weights).items()}
    save_file(tensors, weights, metadata={"format": "pt"})
    return HfVlmBackbone(checkpoint=str(folder))


PARTS: dict[str, Callable[[Path], Backbone]] = {
    "part llava-med": llava_med,
    "part llava-med, Vicuna": lambda folder: LlavaMedBackbone(checkpoint=str(TinyRelease.vicuna(folder).folder)),
    "part llava-med, Llama 3": lambda folder: LlavaMedBackbone(checkpoint=str(TinyRelease.llama3(folder).folder)),
    "part phantom": lambda folder: PhantomBackbone(),
    "part hf-vlm, LLaVA": lambda folder: HfVlmBackbone(checkpoint=str(write_llava(folder))),
    "part hf-vlm, Gemma 3": lambda folder: HfVlmBackbone(checkpoint=str(write_gemma3(folder))),
    "part hf-vlm, Idefics 3": idefics3,
}


def merge_part(part: Backbone, place: Path) -> Merged:
    with part.open(Setting()) as live:
        model = put_adapter(live)
        model.save_pretrained(place / "adapter")
        live.base.write(place / "adapter")
        asked = live.prompt([ImageRef.drawn(draw_image())], QUESTION)
        types = {} if asked.token_types is None else {live.types_key: torch.tensor([asked.token_types])}
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([asked.ids]), **types, **asked.vision[0]).logits[0, -4:]
    export_backbone(part, place / "merged", place / "adapter", "float32")  # the phantom is stored in float16
    read = {"tokens": list(asked.ids), "pixels": asked.vision[0]["pixel_values"].flatten().tolist()}
    return Merged(place / "merged", logits, read)


# Families, by their models alone


class FamilyBackbone(Backbone):
    """A tiny model of a family with an adapter on it."""

    use: ClassVar[str] = "family"
    family: str
    place: Path

    @contextmanager
    def open(self, setting: Setting) -> Iterator[TinyBackbone]:
        from transformers import AutoModelForImageTextToText

        live = TinyBackbone()
        live.tokenizer = make_tokenizer()
        live.model = AutoModelForImageTextToText.from_pretrained(self.place / "checkpoint")
        live.lora_targets, live.projector = lora_targets(self.family, live.model), projector(live.model)
        live.model = put_adapter(live)
        yield live


def merge_family(name: str, place: Path) -> Merged:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(FAMILY_SEED)
        tiny = FAMILIES[name]()
    if name in MISPLACED:
        for parameter in (value for key, value in tiny.model.named_parameters() if "position_embedding" in key):
            parameter.data.zero_()
    tiny.model.save_pretrained(place / "checkpoint")
    tokens, vision = tiny.images[0]
    ids = torch.tensor([[5, *tokens, 7, 8]])
    asked = {"input_ids": ids, **({"mm_token_type_ids": (ids == IMAGE).long()} if tiny.types else {}), **vision}
    save_file(asked, place / "asked.safetensors")
    part = FamilyBackbone(family=name, place=place)
    with part.open(Setting()) as live, torch.no_grad():
        logits = live.model(**asked).logits[0, -4:]
    export_backbone(part, place / "merged")
    return Merged(place / "merged", logits, {})


# Opened


@pytest.fixture(scope="module")
def merged(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Merged]:
    place = tmp_path_factory.mktemp("merged")
    parts = {name: merge_part(make(place / name / "base"), place / name) for name, make in PARTS.items()}
    return parts | {name: merge_family(name, place / name) for name in FAMILIES}


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Any]]:
    place = tmp_path_factory.mktemp("tokenizers")
    made = {name: (place / str(i), write_tokenizer(name, place / str(i))) for i, name in enumerate(TOKENIZERS)}
    for folder, _ in made.values():
        add_older_form(folder)
    return made


@pytest.fixture(scope="module", params=["this one", *PINS])
def opened(request: Any, merged: Any, tokenizers: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return what each folder gave when a version opened it."""
    folders = {name: one.folder for name, one in merged.items() if name not in UNKNOWN.get(request.param, ())}
    folders |= {name: folder for name, (folder, _) in tokenizers.items()}
    if request.param == "this one":
        return {name: open_folder(folder) for name, folder in folders.items()}
    older = OlderTransformers.install(tmp_path_factory.mktemp(request.param) / "venv", request.param)
    return dict(zip(folders, older.open(list(folders.values())), strict=True))


@pytest.mark.parametrize("name", [*PARTS, *FAMILIES])
def test_a_merged_model_is_the_same_in_every_version(name: str, merged: Any, opened: dict[str, Any]) -> None:
    if name not in opened:
        pytest.skip("this version does not know the family")
    wanted, found = merged[name], opened[name]
    assert found["amiss"] == {}  # no weight is missing, left over or made up
    torch.testing.assert_close(torch.tensor(found["logits"]), wanted.logits, atol=1e-4, rtol=0)
    if wanted.read:
        assert found["tokens"] == wanted.read["tokens"]
        assert found["pixels"] == pytest.approx(wanted.read["pixels"], abs=1e-5)


@pytest.mark.parametrize("name", TOKENIZERS)
def test_a_tokenizer_reads_the_same_in_every_version(name: str, tokenizers: Any, opened: dict[str, Any]) -> None:
    _, made = tokenizers[name]
    ids = made(TEXT).input_ids
    assert opened[name] == {"words": ids, "back": made.decode(ids, skip_special_tokens=True)}
