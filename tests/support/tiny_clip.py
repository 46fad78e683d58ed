"""A CLIP of drawn weights, small enough for a test, as a folder that transformers opens."""

from __future__ import annotations

from pathlib import Path


def write_tiny_clip(folder: Path, seed: int = 0) -> Path:
    """Write a model, its tokenizer of letters and its image processor. It knows nothing: its ratings are by chance."""
    import torch
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel, CLIPProcessor, CLIPTokenizer

    letters = sorted(ByteLevel.alphabet())
    vocab = {piece: at for at, piece in enumerate(["<|startoftext|>", "<|endoftext|>", *letters])}
    vocab |= {f"{letter}</w>": len(vocab) + at for at, letter in enumerate(letters)}
    tokenizer = CLIPTokenizer(vocab=vocab, merges=[])
    size = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    marks = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    config = CLIPConfig(
        text_config={**size, **marks, "vocab_size": len(vocab), "max_position_embeddings": 40},
        vision_config={**size, "image_size": 28, "patch_size": 14},
        projection_dim=8,
    )
    torch.manual_seed(seed)
    CLIPModel(config).save_pretrained(folder)
    images = CLIPImageProcessorPil(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28})
    CLIPProcessor(images, tokenizer).save_pretrained(folder)
    return folder
