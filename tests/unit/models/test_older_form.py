"""What a saved folder says to transformers 4, field by field; `test_older_transformers` opens such folders with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import VipLlavaConfig

from mmedpo.models.files.older_form import add_older_form


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


def test_two_bases_are_called_by_their_older_names(tmp_path: Path) -> None:
    full = {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6}
    rope = {"full_attention": full, "sliding_attention": {"rope_type": "default", "rope_theta": 1e4}}
    config = rewritten(tmp_path, "config.json", {"rope_parameters": rope})
    assert (config["rope_theta"], config["rope_local_base_freq"]) == (1e6, 1e4)
    assert config["rope_scaling"] == {"rope_type": "linear", "factor": 8.0}


def test_layers_that_see_all_are_counted_where_they_come_at_even_steps(tmp_path: Path) -> None:
    near, far = "sliding_attention", "full_attention"
    for layers, every in (([near, near, far, near, near, far, near], 3), ([far, far], None), ([near, far, far], None)):
        config = rewritten(tmp_path, "config.json", {"layer_types": layers})
        assert config.get("sliding_window_pattern") == every


def test_a_field_has_the_name_by_which_an_older_class_takes_it(tmp_path: Path) -> None:
    if "vision_feature_layers" not in VipLlavaConfig.attribute_map:
        pytest.skip("this transformers has the older name alone")
    config = rewritten(tmp_path, "config.json", {"model_type": "vipllava", "vision_feature_layer": [-1, -2]})
    assert config["vision_feature_layers"] == config["vision_feature_layer"] == [-1, -2]


def test_special_tokens_are_in_the_places_where_an_older_class_looks(tmp_path: Path) -> None:
    given = {"eos_token": "</s>", "boi_token": "<boi>", "extra_special_tokens": ["[INST]"]}
    given["model_specific_special_tokens"] = {"image_token": "<image>"}
    config = rewritten(tmp_path, "tokenizer_config.json", given)
    assert config["additional_special_tokens"] == ["[INST]"]
    assert config["extra_special_tokens"] == {"boi_token": "<boi>", "image_token": "<image>"}


@pytest.mark.parametrize("kind", ["TokenizersBackend", "LlamaTokenizer"])
def test_a_tokenizer_that_is_all_in_one_file_has_the_class_that_takes_it_as_it_is(tmp_path: Path, kind: str) -> None:
    (tmp_path / "tokenizer.json").write_text(json.dumps({"pre_tokenizer": {"add_prefix_space": True}}))
    assert rewritten(tmp_path, "tokenizer_config.json", {"tokenizer_class": kind}) == {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_input_names": ["input_ids", "attention_mask"],
        "add_prefix_space": True,
    }


def test_a_tokenizer_with_code_of_its_own_keeps_its_class(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    given = {"tokenizer_class": "MyTokenizer", "auto_map": {"AutoTokenizer": ["my.MyTokenizer", None]}}
    assert rewritten(tmp_path, "tokenizer_config.json", given) == given


def test_what_reads_images_and_videos_has_files_of_its_own(tmp_path: Path) -> None:
    parts = {"image_processor": {"do_pad": True}, "video_processor": {"fps": 2}}
    whole = {"processor_class": "LlavaProcessor", "patch_size": 14}
    assert rewritten(tmp_path, "processor_config.json", whole | parts) == whole
    for name, value in (("preprocessor_config.json", {"do_pad": True}), ("video_preprocessor_config.json", {"fps": 2})):
        assert json.loads((tmp_path / name).read_text()) == value | {"processor_class": "LlavaProcessor"}
