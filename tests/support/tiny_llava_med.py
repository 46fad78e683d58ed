"""A random LLaVA-Med of a few thousand parameters, in the files that Microsoft's release has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from PIL import Image

SIDE, PATCH, WORDS = 28, 14, 300
MISTRAL = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": WORDS, "rope_theta": 1e6, "sliding_window": None, "initializer_range": 0.3,
    "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
CLIP = {
    "model_type": "clip_vision_model", "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 3,
    "num_attention_heads": 2, "image_size": SIDE, "patch_size": PATCH, "projection_dim": 8,
}  # fmt: skip
RELEASED = {
    "model_type": "llava_mistral", "architectures": ["LlavaMistralForCausalLM"], "image_aspect_ratio": "pad",
    "mm_projector_type": "mlp2x_gelu", "mm_vision_select_layer": -2, "mm_vision_select_feature": "patch",
    "mm_vision_tower": "somewhere/clip-tiny", "mm_use_im_start_end": False, "torch_dtype": "float32",
}  # fmt: skip
NAMES = (
    ("model.language_model.", "model."),
    ("model.multi_modal_projector.linear_1.", "model.mm_projector.0."),
    ("model.multi_modal_projector.linear_2.", "model.mm_projector.2."),
    ("model.vision_tower.", "model.vision_tower.vision_tower.vision_model."),
)


def make_model(seed: int = 0) -> Any:
    from transformers import LlavaConfig, LlavaForConditionalGeneration, MistralConfig

    text = MistralConfig(**MISTRAL)
    config = LlavaConfig(text_config=text, vision_config=dict(CLIP), image_token_index=0, image_seq_length=4)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LlavaForConditionalGeneration(config).eval()


def make_image(width: int = 40, height: int = 30, mode: str = "RGB") -> Image.Image:
    return Image.linear_gradient("L").resize((width, height)).convert(mode)


def released_tensors(model: Any) -> dict[str, torch.Tensor]:
    """Return a model's tensors under the names of the release."""
    tensors = {}
    for name, tensor in model.state_dict().items():
        old, new = next(((old, new) for old, new in NAMES if name.startswith(old)), ("", ""))
        tensors[new + name.removeprefix(old)] = tensor.contiguous()
    return tensors


def write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def write_release(folder: Path, tensors: dict[str, torch.Tensor], *, shards: int = 1, pickled: bool = False) -> Path:
    """Write a checkpoint as Microsoft released it, with its CLIP's config in a folder of its own inside."""
    write_json(folder / "config.json", {**MISTRAL, **RELEASED})
    write_json(folder / "generation_config.json", {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0})
    write_clip(folder / "clip-tiny")
    write_tokenizer(folder)
    write_weights(folder, tensors, shards=shards, pickled=pickled)
    return folder


def write_clip(folder: Path, model: Any = None) -> None:
    write_json(folder / "config.json", CLIP)
    mean, std = [0.5, 0.4, 0.3], [0.2, 0.2, 0.25]
    sizes = {"size": {"shortest_edge": SIDE}, "crop_size": {"height": SIDE, "width": SIDE}}
    kind = {"image_processor_type": "CLIPImageProcessor", "resample": 3}
    write_json(folder / "preprocessor_config.json", {**kind, **sizes, "image_mean": mean, "image_std": std})
    if model is not None:
        tower = model.model.vision_tower.state_dict()
        write_weights(folder, {f"vision_model.{name}": tensor.contiguous() for name, tensor in tower.items()})


def write_weights(folder: Path, tensors: dict[str, torch.Tensor], *, shards: int = 1, pickled: bool = False) -> None:
    from safetensors.torch import save_file

    stem, end = ("pytorch_model", "bin") if pickled else ("model", "safetensors")
    place = {}
    for number in range(shards):
        part = {name: tensors[name] for name in sorted(tensors)[number::shards]}
        file = f"{stem}.{end}" if shards == 1 else f"{stem}-{number + 1:05}-of-{shards:05}.{end}"
        if pickled:
            torch.save(part, folder / file)
        else:
            save_file(part, folder / file, metadata={"format": "pt"})
        place |= dict.fromkeys(part, file)
    if shards > 1:
        write_json(folder / f"{stem}.{end}.index.json", {"metadata": {"total_size": 0}, "weight_map": place})


def write_tokenizer(folder: Path) -> None:
    """Write a tokenizer that knows letters and spells the rest in bytes, as Mistral's does."""
    from tokenizers import Tokenizer, decoders, models, normalizers, processors

    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", *"abcdefghijklmnopqrstuvwxyz"]
    words = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, [], byte_fallback=True, fuse_unk=True))
    words.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    words.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    words.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    words.add_special_tokens(tokens[:3])
    words.save(str(folder / "tokenizer.json"))
    names = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<unk>"}
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "LlamaTokenizer", "legacy": True, **names})
