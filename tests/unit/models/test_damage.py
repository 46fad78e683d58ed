"""A model's file that is a pointer, empty, cut off, or full of NaN is named, with the cure, before it does harm."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from mmedpo_plugins.backbones.hf_vlm.hf_vlm import HfVlmBackbone
from mmedpo_plugins.backbones.llava_med.llava_med import LlavaMedBackbone
from mmedpo_plugins.localizers.monai_detector.checkpoint import KEY, DetectorCheckpoint, describe, load, save
from mmedpo_plugins.localizers.monai_detector.detection_metrics import ScoreCalibration
from mmedpo_plugins.localizers.monai_detector.network import NetworkShape, build_detector
from mmedpo_plugins.phantom.backbone import WEIGHTS, PhantomBackbone
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from tiny_llava_med import make_model, released_tensors, write_json, write_release

from mmedpo import DataError, Setting

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
FILE = "model.safetensors"
Change = Callable[[Path], Any]
Opens = Callable[[Path], Any]


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("release")
    return write_release(folder / "llava-med", released_tensors(make_model()))


def in_place_of(name: str, content: bytes) -> Change:
    return lambda folder: (folder / name).write_bytes(content)


def cut(name: str, by: int) -> Change:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:by])


def said(name: str, **values: Any) -> Change:
    """Change what a JSON file says."""
    return lambda folder: write_json(folder / name, {**json.loads((folder / name).read_text()), **values})


def tensors(change: Callable[[dict[str, torch.Tensor]], None]) -> Change:
    def changed(folder: Path) -> None:
        stored = load_file(folder / FILE)
        change(stored)
        save_file(stored, folder / FILE, metadata={"format": "pt"})

    return changed


def pickled(by: int | None = None, content: bytes | None = None) -> Change:
    """Turn the weights into a file of torch, and cut or replace it."""

    def changed(folder: Path) -> None:
        torch.save(load_file(folder / FILE), folder / "pytorch_model.bin")
        (folder / FILE).unlink()
        whole = (folder / "pytorch_model.bin").read_bytes()
        (folder / "pytorch_model.bin").write_bytes(whole[:by] if content is None else content)

    return changed


def first(stored: dict[str, torch.Tensor], part: str) -> torch.Tensor:
    return next(tensor for name, tensor in sorted(stored.items()) if part in name)


def set_all(value: float) -> Callable[[dict[str, torch.Tensor]], None]:
    def change(stored: dict[str, torch.Tensor]) -> None:
        for tensor in stored.values():
            tensor.fill_(value)

    return change


def other_size(stored: dict[str, torch.Tensor]) -> None:
    stored[next(name for name in sorted(stored) if "layers.0.self_attn.k_proj" in name and "vision" not in name)] = (
        torch.zeros(7, 5)
    )


DAMAGES: list[tuple[Change, str]] = [
    (in_place_of(FILE, POINTER), rf"{FILE}: cannot be loaded, it is a git-lfs pointer.*run `git lfs pull`"),
    (in_place_of(FILE, b""), rf"{FILE}: cannot be loaded, it is empty; .*download it again"),
    (cut(FILE, -1000), rf"{FILE}: cannot be loaded, it is cut off: has [\d,]+ of [\d,]+ bytes; .*download it again"),
    (cut(FILE, 300), rf"{FILE}: cannot be loaded, it is cut off within its header"),
    (in_place_of(FILE, b"<html>Sign in</html>" * 99), rf"{FILE}: cannot be loaded, it is .*no safetensors file"),
    (in_place_of("config.json", POINTER), r"config\.json: cannot be loaded, it is a git-lfs pointer"),
    (in_place_of("config.json", b""), r"config\.json: cannot be loaded, it is empty"),
    (in_place_of("config.json", b"[1]"), r"config\.json|cannot be loaded"),
    (in_place_of("tokenizer.json", POINTER), r"tokenizer\.json: cannot be loaded, it is a git-lfs pointer"),
    (in_place_of("tokenizer.json", b""), r"tokenizer\.json: cannot be loaded, it is empty"),
    (in_place_of("tokenizer_config.json", POINTER), r"tokenizer_config\.json: cannot be loaded, it is a git-lfs"),
    (in_place_of("chat_template.jinja", POINTER), r"chat_template\.jinja: cannot be loaded, it is a git-lfs pointer"),
    (tensors(other_size), r"layers\.0\.self_attn\.k_proj\.weight is 7 x 5 in the file and \d+ x \d+ by config\.json"),
    (tensors(set_all(float("nan"))), r"numbers of \S+\.\S+ are NaN or infinite, so it can answer nothing"),
    (tensors(lambda stored: first(stored, "k_proj").view(-1)[3:4].fill_(-float("inf"))), r": 1 of the .*k_proj"),
    (tensors(lambda stored: first(stored, "norm").view(-1)[:1].fill_(float("nan"))), r": 1 of the .*norm"),
    (pickled(by=-500), r"pytorch_model\.bin: cannot be loaded, it is cut off"),
    (pickled(content=POINTER), r"pytorch_model\.bin: cannot be loaded, it is a git-lfs pointer"),
    (pickled(content=b""), r"pytorch_model\.bin: cannot be loaded, it is empty"),
]


def llava_med(folder: Path) -> Any:
    return LlavaMedBackbone(checkpoint=str(folder))


def phantom(folder: Path) -> Any:
    return PhantomBackbone(checkpoint=folder)


def hf_vlm(folder: Path) -> Any:
    return HfVlmBackbone(checkpoint=str(folder))


@pytest.mark.parametrize("opens", [llava_med, phantom, hf_vlm])
@pytest.mark.parametrize(("damage", "told"), DAMAGES)
def test_a_checkpoint_s_file_that_is_damaged_is_named_with_the_cure(
    opens: Opens, damage: Change, told: str, release: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(release if opens is llava_med else WEIGHTS, tmp_path / "copy")
    damage(folder)
    with pytest.raises(DataError, match=told), opens(folder).open(Setting()):
        pass


def test_a_pointer_beside_the_weights_that_are_loaded_does_no_harm(release: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(release, tmp_path / "copy")
    (folder / "pytorch_model.bin").write_bytes(POINTER)
    (folder / "added.json").write_bytes(b"")
    with llava_med(folder).open(Setting()):
        pass


@pytest.mark.parametrize(
    ("key", "short"),
    [*(("torch_dtype", short) for short in ("bf16", "fp16", "fp32", "half", "float")), ("dtype", "bf16")],
)
@pytest.mark.parametrize("opens", [llava_med, phantom, hf_vlm])
def test_a_short_name_of_a_dtype_in_the_config_is_read(
    opens: Opens, key: str, short: str, release: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(release if opens is llava_med else WEIGHTS, tmp_path / "copy")
    said("config.json", **{key: short})(folder)
    with opens(folder).open(Setting()) as live:
        assert live.model.dtype == torch.float32
    assert not hasattr(torch, "bf16")


@pytest.mark.parametrize("layer", [3, -4, -1, 0])
def test_the_layer_that_is_looked_at_is_one_of_the_tower_s(layer: int, release: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(release, tmp_path / "copy")
    said("config.json", mm_vision_select_layer=layer)(folder)
    with llava_med(folder).open(Setting()):
        pass


@pytest.mark.parametrize("layer", [4, -5, 24, -30])
def test_a_layer_beyond_the_tower_is_refused(layer: int, release: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(release, tmp_path / "copy")
    said("config.json", mm_vision_select_layer=layer)(folder)
    told = rf"\(mm_vision_select_layer\) is {layer}, but its vision tower has 3 layers"
    with pytest.raises(DataError, match=told), llava_med(folder).open(Setting()):
        pass


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adapter") / "sft"
    with PhantomBackbone().open(Setting()) as live:
        model = get_peft_model(live.model, LoraConfig(r=2, target_modules=live.lora_targets))
        model.save_pretrained(folder)
        live.base.write(folder)
    return folder


STORED = "adapter_model.safetensors"
ADAPTERS: list[tuple[Change, str]] = [
    (in_place_of(STORED, POINTER), rf"{STORED}: cannot be loaded, it is a git-lfs pointer"),
    (in_place_of(STORED, b""), rf"{STORED}: cannot be loaded, it is empty"),
    (cut(STORED, -100), rf"{STORED}: cannot be loaded, it is cut off"),
    (in_place_of("adapter_config.json", POINTER), r"adapter_config\.json: .*git-lfs pointer"),
    (in_place_of("adapter_config.json", b'{"peft_type": "MAGIC"}'), r"adapter_config\.json: is of kind MAGIC"),
    (
        lambda folder: save_file(
            {name: tensor * float("nan") for name, tensor in load_file(folder / STORED).items()}, folder / STORED
        ),
        r"numbers of \S+lora_A\.weight are NaN or infinite",
    ),
    (
        lambda folder: save_file(
            {name: tensor[:, :1].clone() for name, tensor in load_file(folder / STORED).items()}, folder / STORED
        ),
        r"size mismatch for \S+lora_A\S*.* torch\.Size\(\[2, 1\]\) .* torch\.Size\(\[2, 128\]\)",
    ),
]


@pytest.mark.parametrize(("damage", "told"), ADAPTERS)
def test_an_adapter_s_file_that_is_damaged_is_named_with_the_cure(
    damage: Change, told: str, adapter: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(adapter, tmp_path / "copy")
    damage(folder)
    with pytest.raises(DataError, match=told), PhantomBackbone(adapter=str(folder)).open(Setting()):
        pass


def detector(folder: Path, weight: float = 1.0) -> Path:
    """Write the checkpoint of a detector that has learned nothing."""
    shape = NetworkShape(("nodule",), 64, width=8)
    trained = DetectorCheckpoint(build_detector(shape), shape, ScoreCalibration(), 0.5)
    with torch.no_grad():
        next(trained.detector.network.parameters()).mul_(weight)
    save(trained, folder / "lesions.safetensors")
    return folder / "lesions.safetensors"


@pytest.mark.parametrize(
    ("content", "told"),
    [(POINTER, "it is a git-lfs pointer"), (b"", "it is empty"), (None, "it is cut off: has")],
)
def test_a_detector_s_file_that_is_damaged_is_named_with_the_cure(
    content: bytes | None, told: str, tmp_path: Path
) -> None:
    path = detector(tmp_path)
    path.write_bytes(path.read_bytes()[:-9] if content is None else content)
    with pytest.raises(DataError, match=rf"lesions\.safetensors: cannot be loaded, {told}"):
        load(path, "cpu")


@pytest.mark.parametrize("said", [{"width": 10**7}, {"size": 10**9}, {"window": "all"}])
def test_a_detector_whose_shape_would_fill_the_memory_is_refused(said: dict[str, Any], tmp_path: Path) -> None:
    path = detector(tmp_path)
    described = describe(path)
    described["shape"] |= said
    save_file(load_file(path), path, metadata={KEY: json.dumps(described)})
    with pytest.raises(DataError, match=r"lesions\.safetensors: (has a shape beyond|what it says of itself is broken)"):
        load(path, "cpu")


def test_a_detector_whose_weights_are_no_numbers_is_refused(tmp_path: Path) -> None:
    assert load(detector(tmp_path), "cpu").threshold == 0.5
    with pytest.raises(DataError, match=r"numbers of \S+ are NaN or infinite"):
        load(detector(tmp_path, float("nan")), "cpu")
