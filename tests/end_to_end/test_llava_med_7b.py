"""The script that draws a LLaVA-Med of seven billion parameters: here a tiny one, and the shapes of the large one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from conftest import ROOT, environment
from forks import Forks
from make_llava_med_7b import SIZES, draw, shapes, split_shards
from mmedpo_plugins.backbones.llava_med import LlavaMedBackbone
from safetensors import safe_open

from mmedpo import Setting
from mmedpo.testing import tiny_cases

SCRIPT = ROOT / "scripts" / "make_llava_med_7b.py"
MISTRAL, CLIP, PROJECTOR = 7_241_732_096, 303_507_456, 20_979_712  # parameters, as published


@pytest.fixture
def drawn(forks: Forks, tmp_path: Path) -> Path:
    done = forks.run([str(SCRIPT), "drawn", "--size", "tiny", "--shard", "20000"], tmp_path, environment())
    assert done.returncode == 0, done.stderr[-3000:]
    return tmp_path / "drawn"


def test_the_backbone_opens_what_the_script_writes_in_shards_and_answers(drawn: Path) -> None:
    assert len(list(drawn.glob("model-*.safetensors"))) > 3
    with LlavaMedBackbone(checkpoint=str(drawn)).open(Setting(dtype="bfloat16")) as live:
        assert live.model.dtype == torch.bfloat16
        assert len(live.answer(tiny_cases(4), max_new_tokens=3)) == 4
        assert live.tokenizer.convert_tokens_to_ids("<image>") == 0


def test_the_same_seed_draws_the_same_weights_and_another_others() -> None:
    one, same, other = (draw("w", (8, 8), torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_the_names_are_those_of_the_release(shared: Path) -> None:
    with safe_open(shared / "fixtures" / "llava_med_original" / "model.safetensors", "pt") as stored:
        released = {re.sub(r"\d+", "0", name) for name in stored.keys()}  # noqa: SIM118
    assert {re.sub(r"\d+", "0", name) for name, _ in shapes(SIZES["7b"])} == released


def test_the_large_one_has_7_6_billion_parameters_in_shards_that_fit_the_memory_of_any_machine() -> None:
    assert sum(torch.Size(shape).numel() for _, shape in shapes(SIZES["7b"])) == MISTRAL + CLIP + PROJECTOR
    sizes = [
        sum(2 * torch.Size(shape).numel() for shape in shard.values()) for shard in split_shards(SIZES["7b"], 2 * 10**9)
    ]
    assert max(sizes) <= 2 * 10**9
    assert len(sizes) == 8
