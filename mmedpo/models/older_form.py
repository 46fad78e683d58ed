"""Say in a saved model's folder what transformers 4 reads as well: its names of fields and of files.

Most of what opens models is pinned to some 4.5x. It passes over a field whose name it does not know, so that a model
loads without a warning and answers with other numbers.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

PARTS = {"image_processor": "preprocessor_config.json", "video_processor": "video_preprocessor_config.json"}


def add_older_form(folder: Path) -> None:
    """Write both generations' fields and files into a folder that transformers saved."""
    for name, add in (("config.json", _add_fields), ("tokenizer_config.json", _name_tokens)):
        if (folder / name).exists():
            _write(folder / name, add(_read(folder / name)))
    if (folder / "processor_config.json").exists():
        _part_processor(folder)


def set_release_names(model: Any) -> None:
    """Make save_pretrained write the tensor names that a family's checkpoints have had from the start.

    It writes those that the weights were loaded from, and of a model made in transformers 5 names that 4 does not know.
    """
    from transformers.conversion_mapping import get_model_conversion_mapping

    model._weight_conversions = [
        change
        for change in get_model_conversion_mapping(model, add_legacy=False)
        if not getattr(change, "prefix_to_add", None)  # its reverse would take a prefix away that all versions know
    ]


def _add_fields(config: dict[str, Any]) -> dict[str, Any]:
    """Give a config and those in it the older names beside the newer ones."""
    added = {key: _add_fields(value) if isinstance(value, dict) else value for key, value in config.items()}
    if config.get("dtype"):
        added["torch_dtype"] = config["dtype"]
    return added | _older_rope(config.get("rope_parameters") or {})


def _older_rope(rope: dict[str, Any]) -> dict[str, Any]:
    """Return rotary positions as transformers 4 reads them: the base beside, the scaling without it."""
    beside = {key: rope[key] for key in ("rope_theta", "partial_rotary_factor") if key in rope}
    scaling = {key: value for key, value in rope.items() if key not in beside}
    return beside | ({"rope_scaling": scaling} if scaling not in ({}, {"rope_type": "default"}) else {})


def _name_tokens(config: dict[str, Any]) -> dict[str, Any]:
    """Give a tokenizer that is all in tokenizer.json the class that both know, and special tokens their older names."""
    if config.get("tokenizer_class") == "TokenizersBackend":
        config["tokenizer_class"] = "PreTrainedTokenizerFast"
        config.setdefault("model_input_names", ["input_ids", "attention_mask"])  # else token_type_ids as well
    if isinstance(extra := config.pop("extra_special_tokens", None), list):
        config["additional_special_tokens"] = extra
    if named := config.pop("model_specific_special_tokens", None):
        config["extra_special_tokens"] = named
    return config


def _part_processor(folder: Path) -> None:
    """Move what a processor is made of into files of its own, where both look."""
    place = folder / "processor_config.json"
    config = _read(place)
    for part, name in PARTS.items():
        if part in config:
            _write(folder / name, config.pop(part) | {"processor_class": config.get("processor_class")})
    _write(place, config)


def _read(place: Path) -> Any:
    return json.loads(place.read_text())


def _write(place: Path, value: Any) -> None:
    place.write_text(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n")
