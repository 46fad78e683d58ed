"""Every family of models that is trained can be held in few bits: its language model's layers, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from mmedpo_plugins.backbones.hf_vlm.target_modules import lora_targets
from tiny_families import FAMILIES

from mmedpo import Setting
from mmedpo.models.adapters import BaseFingerprint
from mmedpo.models.checkpoints import load_model

pytest.importorskip("bitsandbytes")


@pytest.mark.parametrize("bits", ["4bit", "8bit"])
@pytest.mark.parametrize("name", FAMILIES)
def test_the_layers_that_adapters_change_are_quantised_and_nothing_else(name: str, bits: str, tmp_path: Path) -> None:
    from transformers import AutoModelForImageTextToText

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        tiny = FAMILIES[name]()
    tiny.model.save_pretrained(tmp_path)
    whole, _ = load_model(AutoModelForImageTextToText, str(tmp_path), Setting())
    model, _ = load_model(AutoModelForImageTextToText, str(tmp_path), Setting(quantize=bits))
    kind = "Linear4bit" if bits == "4bit" else "Linear8bitLt"
    quantised = {where for where, module in model.named_modules() if type(module).__name__ == kind}
    pattern = lora_targets(str(tmp_path), whole)
    assert quantised == {where for where, _ in whole.named_modules() if re.fullmatch(pattern, where)}
    assert BaseFingerprint.of(model).matches(BaseFingerprint.of(whole))
    ids, vision = tiny.images[0]
    types = {"mm_token_type_ids": torch.tensor([[int(token == 3) for token in ids]])} if tiny.types else {}
    with torch.no_grad():
        assert model(input_ids=torch.tensor([ids]), **vision, **types).logits.isfinite().all()
