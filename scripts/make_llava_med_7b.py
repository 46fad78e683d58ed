"""Write a LLaVA-Med v1.5 of drawn weights, in the form and the shapes in which Microsoft released it.

    python scripts/make_llava_med_7b.py FOLDER                    # 7.6 billion parameters: 15 GB in bfloat16
    python scripts/make_llava_med_7b.py FOLDER --layers 2         # the same, of two layers: 2 GB

It shows what opening, training, saving and merging a real one takes where no real one is: names, shapes, shards and
dtype are the release's; what it says is noise. A shard at a time is in memory.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, product
from pathlib import Path
from string import ascii_lowercase, digits
from typing import Any

import torch

Shapes = Iterator[tuple[str, tuple[int, ...]]]
SPREAD = 0.02  # of the weights, as both models are initialised
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
SHARD = 2 * 10**9  # bytes


@dataclass(frozen=True)
class Size:
    """The sizes of a Mistral and of its CLIP."""

    layers: int = 32
    width: int = 4096
    mlp: int = 14336
    heads: int = 32
    kv_heads: int = 8
    words: int = 32000
    tower_layers: int = 24
    tower: int = 1024
    tower_heads: int = 16
    image: int = 336
    patch: int = 14
    clip: str = "openai/clip-vit-large-patch14-336"  # transformers knows this one without files


SIZES = {"7b": Size(), "tiny": Size(2, 32, 48, 4, 2, 900, 3, 16, 2, 28, clip="clip-vit-tiny-patch14-28")}


def mistral_shapes(size: Size) -> Shapes:
    """Yield names and shapes of the language model."""
    keys = size.width // size.heads * size.kv_heads
    yield "model.embed_tokens.weight", (size.words, size.width)
    for layer in range(size.layers):
        home = f"model.layers.{layer}"
        yield f"{home}.input_layernorm.weight", (size.width,)
        for name, rows in (("q", size.width), ("k", keys), ("v", keys), ("o", size.width)):
            yield f"{home}.self_attn.{name}_proj.weight", (rows, size.width)
        yield f"{home}.post_attention_layernorm.weight", (size.width,)
        for name in ("gate", "up"):
            yield f"{home}.mlp.{name}_proj.weight", (size.mlp, size.width)
        yield f"{home}.mlp.down_proj.weight", (size.width, size.mlp)
    yield "model.norm.weight", (size.width,)
    yield "lm_head.weight", (size.words, size.width)


def clip_shapes(size: Size) -> Shapes:
    """Yield names and shapes of a CLIP's vision model."""
    width, places = size.tower, (size.image // size.patch) ** 2 + 1
    yield "embeddings.class_embedding", (width,)
    yield "embeddings.patch_embedding.weight", (width, 3, size.patch, size.patch)
    yield "embeddings.position_embedding.weight", (places, width)
    for layer in range(size.tower_layers):
        home = f"encoder.layers.{layer}"
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            yield from _affine(f"{home}.self_attn.{name}", width, width)
        yield from _affine(f"{home}.mlp.fc1", 4 * width, width)
        yield from _affine(f"{home}.mlp.fc2", width, 4 * width)
        for name in ("layer_norm1", "layer_norm2"):
            yield from _affine(f"{home}.{name}", width)
    for name in ("pre_layrnorm", "post_layernorm"):  # the first is CLIP's own spelling
        yield from _affine(name, width)


def _affine(name: str, *shape: int) -> Shapes:
    yield f"{name}.weight", shape
    yield f"{name}.bias", shape[:1]


def shapes(size: Size) -> Shapes:
    """Yield all names and shapes of a release."""
    yield from mistral_shapes(size)
    for name, shape in clip_shapes(size):
        yield f"model.vision_tower.vision_tower.vision_model.{name}", shape
    yield from _affine("model.mm_projector.0", size.width, size.tower)
    yield from _affine("model.mm_projector.2", size.width, size.width)


def draw(name: str, shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    """Draw a tensor; norms are ones and biases zeros."""
    if len(shape) == 1 and "class_embedding" not in name:
        return torch.zeros(shape, dtype=torch.bfloat16) if name.endswith("bias") else torch.ones(shape).bfloat16()
    return torch.empty(shape, dtype=torch.bfloat16).normal_(0, SPREAD, generator=generator)


def split_shards(size: Size, most: int) -> list[dict[str, tuple[int, ...]]]:
    """Share the tensors out over shards of at most so many bytes each."""
    shards: list[dict[str, tuple[int, ...]]] = [{}]
    left = most
    for name, shape in shapes(size):
        count = 2 * torch.Size(shape).numel()
        if count > left and shards[-1]:
            shards.append({})
            left = most
        shards[-1][name] = shape
        left -= count
    return shards


def write_weights(folder: Path, size: Size, seed: int, most: int) -> None:
    """Draw the weights and write them shard by shard, each let go of before the next is drawn."""
    from safetensors.torch import save_file

    generator = torch.Generator().manual_seed(seed)
    shards, places, total = split_shards(size, most), dict[str, str](), 0
    for number, shard in enumerate(shards, 1):
        file = f"model-{number:05}-of-{len(shards):05}.safetensors"
        tensors = {name: draw(name, shape, generator) for name, shape in shard.items()}
        save_file(tensors, folder / file, metadata={"format": "pt"})
        places |= dict.fromkeys(shard, file)
        total += sum(tensor.nbytes for tensor in tensors.values())
        del tensors
    index = {"metadata": {"total_size": total}, "weight_map": places}
    write_json(folder / "model.safetensors.index.json", index)


def write_tokenizer(folder: Path, words: int) -> None:
    """Write a tokenizer as Mistral's is: bytes, letters, and merged pairs of them until there are enough."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, processors

    letters = ["▁", *ascii_lowercase, *digits]
    pairs = [(first, second) for first, second in product(letters, letters[1:])]
    triples = [(first + second, third) for (first, second), third in product(pairs, letters[1:])]
    special = ["<unk>", "<s>", "</s>"]
    merges = list(islice([*pairs, *triples], words - len(special) - len(BYTES) - len(letters)))
    tokens = [*special, *BYTES, *letters, *(first + second for first, second in merges)]
    made = Tokenizer(
        models.BPE({token: at for at, token in enumerate(tokens)}, merges, byte_fallback=True, fuse_unk=True)
    )
    made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    made.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    made.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    made.add_special_tokens([AddedToken(token, special=True) for token in special])
    made.save(str(folder / "tokenizer.json"))
    names = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<unk>"}
    write_json(folder / "special_tokens_map.json", names)
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "LlamaTokenizer", "legacy": True, **names})


def write_configs(folder: Path, size: Size) -> None:
    """Write the configurations as the release has them, and the CLIP's where it is not OpenAI's."""
    ends = {"bos_token_id": 1, "eos_token_id": 2}
    mistral = {
        "hidden_size": size.width, "intermediate_size": size.mlp, "num_hidden_layers": size.layers,
        "num_attention_heads": size.heads, "num_key_value_heads": size.kv_heads, "vocab_size": size.words,
        "hidden_act": "silu", "max_position_embeddings": 32768, "rms_norm_eps": 1e-5, "rope_theta": 1e6,
        "sliding_window": None, "attention_dropout": 0.0, "initializer_range": SPREAD, "tie_word_embeddings": False,
    }  # fmt: skip
    llava = {
        "architectures": ["LlavaMistralForCausalLM"], "model_type": "llava_mistral", "image_aspect_ratio": "pad",
        "mm_hidden_size": size.tower, "mm_patch_merge_type": "flat", "mm_projector_type": "mlp2x_gelu",
        "mm_use_im_patch_token": False, "mm_use_im_start_end": False, "mm_vision_select_feature": "patch",
        "mm_vision_select_layer": -2, "mm_vision_tower": size.clip, "tokenizer_padding_side": "right",
        "torch_dtype": "bfloat16", "transformers_version": "4.36.2", "use_cache": True, "pad_token_id": 0,
    }  # fmt: skip
    write_json(folder / "config.json", {**llava, **mistral, **ends})
    write_json(folder / "generation_config.json", {**ends, "pad_token_id": 0})
    if "/" not in size.clip:
        write_clip(folder / size.clip, size)


def write_clip(folder: Path, size: Size) -> None:
    """Write the two files of a CLIP that is nobody's: its configuration and its image processor's."""
    folder.mkdir()
    clip = {
        "model_type": "clip_vision_model", "hidden_size": size.tower, "intermediate_size": 4 * size.tower,
        "num_hidden_layers": size.tower_layers, "num_attention_heads": size.tower_heads, "image_size": size.image,
        "patch_size": size.patch, "projection_dim": size.tower, "hidden_act": "quick_gelu",
    }  # fmt: skip
    side = {"height": size.image, "width": size.image}
    images = {"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": size.image}, "crop_size": side}
    write_json(folder / "config.json", clip)
    write_json(folder / "preprocessor_config.json", images)


def write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False))


def write_release(folder: Path, size: Size, seed: int = 0, most: int = SHARD) -> None:
    """Write a whole checkpoint into a new folder."""
    folder.mkdir(parents=True)
    write_configs(folder, size)
    write_tokenizer(folder, size.words)
    write_weights(folder, size, seed, most)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="a new folder")
    parser.add_argument("--size", choices=SIZES, default="7b")
    parser.add_argument("--layers", type=int, help="of the language model; 32 are the release's")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--shard", type=int, default=SHARD, help="bytes of a file at most, and so of memory")
    chosen = parser.parse_args()
    size = SIZES[chosen.size]
    if chosen.layers:
        size = Size(**{**vars(size), "layers": chosen.layers})
    write_release(chosen.folder, size, chosen.seed, chosen.shard)
    count = sum(torch.Size(shape).numel() for _, shape in shapes(size))
    print(f"{chosen.folder}: {count / 1e9:.2f} billion parameters, {2 * count / 1e9:.1f} GB")


if __name__ == "__main__":
    main()
