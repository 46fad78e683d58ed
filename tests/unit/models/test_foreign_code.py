"""Nothing that a checkpoint or an adapter says runs code, opens a file elsewhere, or takes memory for nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mmedpo_plugins.phantom
import pytest
from mmedpo_plugins.backbones.hf_vlm.hf_vlm import HfVlmBackbone
from mmedpo_plugins.phantom.backbone import PhantomBackbone
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file

from mmedpo import DataError, Setting, read_run
from mmedpo.models.files.adapter_files import CONFIG, read_json

WEIGHTS = Path(mmedpo_plugins.phantom.__file__).parent / "weights"
CODE = "import pathlib\npathlib.Path(__file__).with_name('owned').write_text('')\nclass Evil: pass\n"
Change = Callable[[Path], None]


def says(name: str, **values: Any) -> Change:
    """Change what a JSON file says."""

    def change(folder: Path) -> None:
        known = json.loads((folder / name).read_text()) if (folder / name).exists() else {}
        (folder / name).write_text(json.dumps(known | values))

    return change


def shards_elsewhere(folder: Path) -> None:
    names = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").rename(folder.parent / "outside.safetensors")
    index = {"metadata": {"total_size": 1}, "weight_map": dict.fromkeys(names, "../outside.safetensors")}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


CHECKPOINTS: list[tuple[Change, str]] = [
    (says("config.json", model_type="evil", auto_map={"AutoConfig": "evil.Evil"}), "holds code of its own"),
    (says("processor_config.json", processor_class="E", auto_map={"AutoProcessor": "evil.Evil"}), "code of its own"),
    (says("config.json", attn_implementation="evil/kernel"), "config.json wants attn_implementation: 'evil/kernel'"),
    (says("config.json", text_config={"_attn_implementation": "evil/kernel@main"}), "code of the Hub"),
    (shards_elsewhere, "index.json: names '../outside.safetensors', which is no file beside it"),
]


@pytest.mark.parametrize(("change", "told"), CHECKPOINTS)
def test_a_checkpoint_runs_no_code_and_stays_in_its_folder(
    change: Change, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(WEIGHTS, tmp_path / "copy")
    (folder / "evil.py").write_text(CODE)
    change(folder)
    monkeypatch.setattr("builtins.input", lambda prompt: "y")  # whoever is at the keyboard is not asked
    with pytest.raises(DataError, match=told), HfVlmBackbone(checkpoint=str(folder)).open(Setting()):
        pass
    assert not list(tmp_path.rglob("owned"))


def test_code_that_lies_beside_a_model_that_transformers_knows_is_passed_over(tmp_path: Path) -> None:
    folder = shutil.copytree(WEIGHTS, tmp_path / "copy")
    (folder / "evil.py").write_text(CODE)
    (folder / "custom_generate").mkdir()
    (folder / "custom_generate" / "generate.py").write_text(CODE)
    says("config.json", auto_map={"AutoModelForImageTextToText": "evil.Evil"})(folder)
    says("tokenizer_config.json", auto_map={"AutoTokenizer": ["evil.Evil", "evil.Evil"]})(folder)
    with HfVlmBackbone(checkpoint=str(folder)).open(Setting()):
        assert not list(tmp_path.rglob("owned"))


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adapter") / "a"
    with PhantomBackbone().open(Setting()) as live:
        get_peft_model(live.model, LoraConfig(r=2, target_modules=live.lora_targets)).save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"peft_type": "XLORA", "adapters": {"0": "../elsewhere"}}, "of kind XLORA, which is not opened"),
        ({"peft_type": "PROMPT_TUNING", "tokenizer_name_or_path": "evil/tokens"}, "of kind PROMPT_TUNING"),
        ({"megatron_config": {"a": 1}, "megatron_core": "antigravity"}, "for Megatron's layers, whose code it names"),
        ({"r": 10**9}, "says rank 1,000,000,000, but its tensors have at most 2"),
        ({"rank_pattern": {".*": 10**9}}, "says rank 1,000,000,000"),
    ],
)
def test_an_adapter_is_its_weights_and_no_more(said: dict[str, Any], told: str, adapter: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(adapter, tmp_path / "copy")
    says("adapter_config.json", **said)(folder)
    with pytest.raises(DataError, match=told), PhantomBackbone(adapter=str(folder)).open(Setting()):
        pass


@pytest.mark.parametrize(
    ("name", "read"), [("run.json", read_run), ("adapter_config.json", lambda folder: read_json(folder / CONFIG))]
)
def test_values_within_values_without_end_are_a_broken_file(
    name: str, read: Callable[[Path], Any], tmp_path: Path
) -> None:
    (tmp_path / name).write_text("[" * 100_000)
    with pytest.raises(DataError, match=rf"{name}: .*recursion"):
        read(tmp_path)
