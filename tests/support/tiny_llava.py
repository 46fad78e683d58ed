"""A random LLaVA of a few thousand parameters that reads words, and pairs to train it on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from mmedpo.core.images import ImageRef
from mmedpo.core.records import Case, Pair, Score, WeightedPair
from mmedpo.models import square_tiles
from mmedpo.models.backbone import EncodedPrompt, TransformersBackbone

WORDS = [
    "is",
    "there",
    "a",
    "nodule",
    "in",
    "the",
    "left",
    "right",
    "lung",
    "yes",
    "no",
    "it",
    "lies",
    "upper",
    "lower",
]
SPECIAL = ["<pad>", "</s>", "<unk>", "<image>"]
PIXELS, PATCH = 28, 14


def make_tokenizer() -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: index for index, word in enumerate([*SPECIAL, *WORDS])}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=words,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        additional_special_tokens=["<image>"],
    )


def make_model(seed: int = 0) -> Any:
    from transformers import CLIPVisionConfig, LlavaConfig, LlavaForConditionalGeneration, MistralConfig

    vision = CLIPVisionConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=PIXELS,
        patch_size=PATCH,
    )  # fmt: skip
    text = MistralConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        vocab_size=len(SPECIAL) + len(WORDS), pad_token_id=0, bos_token_id=None, eos_token_id=1, sliding_window=None,
        initializer_range=0.3,
    )  # fmt: skip
    config = LlavaConfig(
        vision_config=vision, text_config=text, image_token_id=3, image_token_index=3, image_seq_length=4
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LlavaForConditionalGeneration(config).eval()


def make_backbone(model: Any = None) -> TransformersBackbone:
    tokenizer = make_tokenizer()

    def preprocess(image: Image.Image) -> torch.Tensor:
        values = np.asarray(image.convert("RGB").resize((PIXELS, PIXELS)), dtype=np.float32) / 127.5 - 1
        return torch.from_numpy(values).permute(2, 0, 1)[None]

    def prompt(images: Sequence[torch.Tensor], question: str) -> EncodedPrompt:
        ids = [3] * 4 * len(images) + tokenizer(question, add_special_tokens=False).input_ids
        return EncodedPrompt(ids, [{"pixel_values": pixels} for pixels in images])

    return TransformersBackbone(
        model or make_model(),
        tokenizer,
        preprocess=preprocess,
        prompt=prompt,
        tiles=square_tiles,
        end=1,
        lora_targets=r".*language_model.*\.(q|k|v|o|gate|up|down)_proj",
        projector=r"model\.multi_modal_projector",
        several_images=True,
    )


def make_image(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (PIXELS, PIXELS, 3), dtype=np.uint8))


def make_pairs(
    count: int, *, same_image: bool = False, several: bool = False, weights: tuple[float, ...] = (0.75, 1.0, 1.25)
) -> list[WeightedPair]:
    """Make pairs, every third of which is an image pair unless all are to have one image.

    With `several`, all but every fourth show the image of another case beside their own.
    """
    draw = np.random.default_rng(7)

    def words(low: int, high: int) -> str:
        return " ".join(draw.choice(WORDS, draw.integers(low, high)))

    pairs = []
    for number in range(count):
        picture = ImageRef.drawn(make_image(number // 2))
        more = (ImageRef.drawn(make_image((number // 2 + 1) % (count // 2))),) if several and number % 4 else ()
        case = Case(
            id=f"case {number}", image=picture, question=words(3, 8), answer=words(1, 5), restricted=False,
            more_images=more,
        )  # fmt: skip
        chosen = case.side(case.answer)
        if number % 3 == 2 and not same_image:
            noised = chosen.show(ImageRef.drawn(make_image(1000 + number)))
            pair = Pair(case, chosen, noised, "image", "noise")
        else:
            pair = Pair(case, chosen, case.side(words(2, 9)), "text", "words")
        pairs.append(WeightedPair(pair, Score(0.5), weights[number % len(weights)]))
    return pairs


def adapter_bytes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / "adapter").iterdir())}
