"""Say in a saved model's folder what transformers 4 reads as well: its names of fields and of files.

Most of what opens models is pinned to some 4.5x. It passes over a field whose name it does not know, so that a model
loads without a warning and answers with other numbers.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

STANDARD = {f"{name}_token" for name in ("bos", "eos", "unk", "sep", "pad", "cls", "mask")}
PARTS = {"image_processor": "preprocessor_config.json", "video_processor": "video_preprocessor_config.json"}


def add_older_form(folder: Path) -> None:
    """Write both generations' fields and files into a folder that transformers saved."""
    for name, add in (("config.json", _add_fields), ("tokenizer_config.json", _name_tokens)):
        if (folder / name).exists():
            _write(folder / name, add(_read(folder / name)))
    tokens = folder / "tokenizer_config.json"
    if (folder / "tokenizer.json").exists() and "auto_map" not in (config := _read(tokens)):
        _write(tokens, _name_class(config, _read(folder / "tokenizer.json")))
    if (folder / "processor_config.json").exists():
        _part_processor(folder)


def say_what_is_tied(model: Any) -> None:
    """Make config and text config say of the output layer what is so: transformers 5 asks the one, 4 the other."""
    head, words = model.get_output_embeddings(), model.get_input_embeddings()
    if head is not None and words is not None:
        tied = head.weight is words.weight
        for config in (model.config, model.config.get_text_config()):
            config.tie_word_embeddings = tied


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
    return added | _aliases(config) | _older_rope(config.get("rope_parameters") or {}) | _older_layers(config)


def _aliases(config: dict[str, Any]) -> dict[str, Any]:
    """Return what a config's class knows by another name as well: one of the two is the older one."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    kind = config.get("model_type")
    names = CONFIG_MAPPING[kind].attribute_map if kind in CONFIG_MAPPING else {}
    return {other: config[name] for other, name in names.items() if name in config and other not in config}


def _older_rope(rope: dict[str, Any]) -> dict[str, Any]:
    """Return rotary positions as transformers 4 reads them: the base beside, the scaling without it."""
    local = rope.get("sliding_attention")  # a family whose layers have two bases, Gemma 3
    if isinstance(local, dict):
        return _older_rope(rope.get("full_attention") or {}) | {"rope_local_base_freq": local.get("rope_theta")}
    beside = {key: rope[key] for key in ("rope_theta", "partial_rotary_factor") if key in rope}
    scaling = {key: value for key, value in rope.items() if key not in beside}
    return beside | ({"rope_scaling": scaling} if scaling not in ({}, {"rope_type": "default"}) else {})


def _older_layers(config: dict[str, Any]) -> dict[str, Any]:
    """Return as one number which layers see all: every nth, where the list of their kinds says so."""
    layers = config.get("layer_types") or []
    if not {"sliding_attention", "full_attention"} <= set(layers):
        return {}
    every = layers.index("full_attention") + 1
    regular = ["sliding_attention" if number % every else "full_attention" for number in range(1, len(layers) + 1)]
    return {"sliding_window_pattern": every} if layers == regular else {}


def _name_tokens(config: dict[str, Any]) -> dict[str, Any]:
    """Give special tokens the older names: those without one of their own in a list, the others in a table."""
    extra = config.pop("extra_special_tokens", None) or []
    named = {key: value for key, value in config.items() if key.endswith("_token") and isinstance(value, str)}
    named |= config.pop("model_specific_special_tokens", None) or {}
    if isinstance(extra, dict):
        named |= extra
    elif extra:
        config["additional_special_tokens"] = extra
    if named := {key: value for key, value in named.items() if key not in STANDARD}:
        config["extra_special_tokens"] = named
    return config


def _name_class(config: dict[str, Any], tokenizer: dict[str, Any]) -> dict[str, Any]:
    """Give a tokenizer that is all in tokenizer.json the class that takes it as it stands, and what it hands out.

    A class of a family's own would put its beginnings and ends there in transformers 4; TokenizersBackend it knows not.
    """
    import transformers

    kind = getattr(transformers, config.get("tokenizer_class") or "", transformers.PreTrainedTokenizerFast)
    names = {"model_input_names": list(kind.model_input_names)}  # else token_type_ids as well
    space = (tokenizer.get("pre_tokenizer") or {}).get("add_prefix_space")  # else none, whatever the file says
    prefix = {} if space is None else {"add_prefix_space": space}
    return names | config | prefix | {"tokenizer_class": "PreTrainedTokenizerFast"}


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
