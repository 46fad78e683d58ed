"""In what a merged or converted model is written: as its base is stored, unless another dtype is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from conftest import Mmedpo
from mmedpo_plugins.backbones.llava_med.llava_med import LlavaMedBackbone
from safetensors.torch import load_file
from tiny_llava_med import make_model, released_tensors, write_clip, write_release

from mmedpo import Setting
from mmedpo.models.saving import export_backbone


@pytest.fixture
def half(tmp_path: Path) -> Path:
    """A release in float16 whose config.json says float32."""
    tensors = {name: value.half() for name, value in released_tensors(make_model()).items()}
    return write_release(tmp_path / "half", tensors, shards=2)


def dtypes(folder: Path) -> set[torch.dtype]:
    return {tensor.dtype for tensor in load_file(folder / "model.safetensors").values()}


def test_a_model_is_written_in_the_dtype_of_its_base_whatever_the_config_says(half: Path, tmp_path: Path) -> None:
    export_backbone(LlavaMedBackbone(checkpoint=str(half)), tmp_path / "out")
    assert dtypes(tmp_path / "out") == {torch.float16}


def test_an_adapter_in_float32_is_merged_into_what_the_base_is(half: Path, tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model

    part = LlavaMedBackbone(checkpoint=str(half))
    with part.open(Setting()) as live:
        get_peft_model(live.model, LoraConfig(r=2, target_modules=live.lora_targets)).save_pretrained(tmp_path / "it")
        live.base.write(tmp_path / "it")
    export_backbone(part, tmp_path / "out", tmp_path / "it")
    assert dtypes(tmp_path / "out") == {torch.float16}


def test_a_tower_from_elsewhere_takes_the_dtype_of_the_model(half: Path, tmp_path: Path) -> None:
    tensors = {name: value for name, value in released_tensors(make_model()).items() if "vision_tower" not in name}
    write_release(tmp_path / "blind", {name: value.half() for name, value in tensors.items()})
    write_clip(tmp_path / "blind/clip-tiny", make_model())
    export_backbone(LlavaMedBackbone(checkpoint=str(tmp_path / "blind")), tmp_path / "out")
    assert dtypes(tmp_path / "out") == {torch.float16}


def test_the_config_decides_where_the_weights_are_pickled(tmp_path: Path) -> None:
    tensors = {name: value.half() for name, value in released_tensors(make_model()).items()}
    folder = write_release(tmp_path / "it", tensors, pickled=True)
    export_backbone(LlavaMedBackbone(checkpoint=str(folder)), tmp_path / "out")
    assert dtypes(tmp_path / "out") == {torch.float32}


def test_another_dtype_can_be_asked_for(mmedpo: Mmedpo, half: Path, tmp_path: Path) -> None:
    done = mmedpo("convert", half, "out", "--dtype", "bfloat16")
    assert done.returncode == 0, done.stderr
    assert dtypes(tmp_path / "out") == {torch.bfloat16}
