"""What a saved folder says to transformers 4, field by field; `test_older_transformers` opens such folders with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mmedpo.models.older_form import add_older_form


def rewritten(folder: Path, name: str, value: dict[str, Any]) -> Any:
    (folder / name).write_text(json.dumps(value))
    add_older_form(folder)
    return json.loads((folder / name).read_text())


def test_a_config_has_both_names_of_the_base_and_the_dtype_in_every_part(tmp_path: Path) -> None:
    rope = {"rope_theta": 1e6, "rope_type": "default"}
    text = {"rope_parameters": rope, "dtype": "float16"}
    config = rewritten(tmp_path, "config.json", {"dtype": "float16", "text_config": text, "vision_config": {}})
    assert config["torch_dtype"] == config["dtype"] == "float16"
    older = {"rope_theta": 1e6, "torch_dtype": "float16"}  # no rope_scaling: positions are not scaled
    assert config["text_config"] == text | older
    assert config["vision_config"] == {}


def test_scaled_positions_are_called_rope_scaling_without_their_base(tmp_path: Path) -> None:
    rope = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 1e4, "partial_rotary_factor": 0.5}
    config = rewritten(tmp_path, "config.json", {"rope_parameters": rope})
    assert config["rope_scaling"] == {"rope_type": "default", "mrope_section": [1, 1, 2]}
    assert (config["rope_theta"], config["partial_rotary_factor"]) == (1e4, 0.5)


def test_a_tokenizer_of_no_class_of_its_own_has_the_class_that_both_know(tmp_path: Path) -> None:
    given = {"tokenizer_class": "TokenizersBackend", "extra_special_tokens": ["[INST]"]}
    given["model_specific_special_tokens"] = {"image_token": "<image>"}
    config = rewritten(tmp_path, "tokenizer_config.json", given)
    assert config == {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_input_names": ["input_ids", "attention_mask"],
        "additional_special_tokens": ["[INST]"],
        "extra_special_tokens": {"image_token": "<image>"},
    }


def test_a_tokenizer_with_a_class_keeps_it(tmp_path: Path) -> None:
    assert rewritten(tmp_path, "tokenizer_config.json", {"tokenizer_class": "Qwen2Tokenizer"}) == {
        "tokenizer_class": "Qwen2Tokenizer"
    }


def test_what_reads_images_and_videos_has_files_of_its_own(tmp_path: Path) -> None:
    parts = {"image_processor": {"do_pad": True}, "video_processor": {"fps": 2}}
    whole = {"processor_class": "LlavaProcessor", "patch_size": 14}
    assert rewritten(tmp_path, "processor_config.json", whole | parts) == whole
    for name, value in (("preprocessor_config.json", {"do_pad": True}), ("video_preprocessor_config.json", {"fps": 2})):
        assert json.loads((tmp_path / name).read_text()) == value | {"processor_class": "LlavaProcessor"}
