"""How large a model is, by its config.json alone: what to know before any of it is loaded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BYTES = {"float32": 4.0, "bfloat16": 2.0, "float16": 2.0}
QUANTIZED = {"4bit": 0.52, "8bit": 1.0}  # with what belongs to the bits: a scale for each 64 weights, itself in bytes
STORED = "auto"  # the dtype that a checkpoint is in
CLIP = {"num_hidden_layers": 24, "patch_size": 14}  # the rest of what a release says of its tower by name alone


@dataclass(frozen=True)
class ModelSize:
    """The parameters of a language model with a vision tower, and the widths that activations go by."""

    layers: int
    width: int
    inner: int  # of a layer's MLP
    keys: int  # how wide a token's keys are, as its values are
    in_layers: int  # parameters of the language model's linear layers, which adapters change and quantisation takes
    others: int  # of head, embeddings, tower and projector
    stored: str = "float32"  # dtype of the files

    @property
    def parameters(self) -> int:
        """All of them."""
        return self.in_layers + self.others

    def weight_bytes(self, dtype: str, quantize: str | None = None) -> int:
        """Return what the weights take in a dtype, the language model's layers in few bits."""
        each = BYTES[self.stored if dtype == STORED else dtype]
        return int(self.in_layers * (QUANTIZED[quantize] if quantize else each) + self.others * each)

    def adapter_parameters(self, rank: int) -> int:
        """Return how many parameters an adapter on the language model's layers has."""
        attention = 4 * self.width + 2 * (self.width + self.keys)
        return self.layers * rank * (attention + 3 * (self.width + self.inner))

    def token_bytes(self, dtype: str) -> int:
        """Return what answering keeps of a token: its keys and values."""
        return int(2 * self.layers * self.keys * BYTES[self.stored if dtype == STORED else dtype])

    def activation_bytes(self, tokens: int, checkpointing: bool) -> int:
        """Return about what a step keeps of so many tokens for the gradient; float32 copies for the adapter count."""
        layer = tokens * (14 * self.width + 5 * self.inner) * 4
        return self.layers * tokens * self.width * 4 + 2 * layer if checkpointing else self.layers * layer


def find_config(checkpoint: object) -> dict[str, Any] | None:
    """Return the config.json of a folder, or of a hub id that was loaded before; None where it is not at hand."""
    place = Path(str(checkpoint)) / "config.json"
    with suppress(OSError, ValueError, RecursionError):
        if not place.exists():
            from huggingface_hub import try_to_load_from_cache

            place = Path(str(try_to_load_from_cache(str(checkpoint), "config.json")))
        read = json.loads(place.read_text())
        return read if isinstance(read, dict) else None
    return None


def size_of(config: Mapping[str, Any]) -> ModelSize | None:
    """Return the size of a model; None where its configuration does not say it in the usual words."""
    text = config.get("text_config") or config
    with suppress(KeyError, TypeError, ValueError, ZeroDivisionError):
        width, layers, inner = (int(text[key]) for key in ("hidden_size", "num_hidden_layers", "intermediate_size"))
        heads = int(text["num_attention_heads"])
        head = int(text.get("head_dim") or width // heads)
        keys = head * int(text.get("num_key_value_heads") or heads)
        mixed = int(text.get("num_local_experts") or text.get("num_experts") or 1)
        in_layers = layers * (2 * width * head * heads + 2 * width * keys + 3 * width * inner * mixed)
        tied = text.get("tie_word_embeddings", config.get("tie_word_embeddings", False))
        words = int(text["vocab_size"]) * width * (1 if tied else 2)
        stored = str(config.get("dtype") or config.get("torch_dtype") or text.get("torch_dtype") or "float32")
        others = words + (2 * layers + 1) * width + _tower_parameters(config, width)
        return ModelSize(layers, width, inner, keys, in_layers, others, stored if stored in BYTES else "bfloat16")
    return None


def _tower_parameters(config: Mapping[str, Any], width: int) -> int:
    """Count a vision tower and a projector of two layers, about."""
    scales = _count_scales(config)
    tower = config.get("vision_config") or {"hidden_size": config.get("mm_hidden_size", 0) // scales, **CLIP}
    own = int(tower.get("hidden_size") or tower.get("embed_dim") or 0)
    inner = int(tower.get("intermediate_size") or own * tower.get("mlp_ratio", 4))
    layers = int(tower.get("num_hidden_layers") or tower.get("depth") or 0)
    patch = tower.get("patch_size") or 14
    patches = 3 * own * int(patch[0] if isinstance(patch, list) else patch) ** 2
    return layers * (4 * own * own + 2 * own * inner) + patches + scales * own * width + width * width


def _count_scales(config: Mapping[str, Any]) -> int:
    """Return at how many scales one tower looks, whose features stand side by side."""
    said = str(config.get("s2_scales", "336,672,1008")).split(",") if config.get("s2") else ()
    return max(1, len(said), len((config.get("vision_config") or {}).get("scales") or ()))
