"""A LLaVA of drawn weights: a CLIP tower, a projector and a Mistral, as large as one likes, on any device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rig.machine import Machine
from rig.pairs import SPECIAL, VOCABULARY


@dataclass(frozen=True)
class Size:
    """How large the model is, and the rank of its adapter."""

    tower: int = 192
    tower_layers: int = 6
    width: int = 384
    layers: int = 6
    heads: int = 6
    kv_heads: int = 2
    mlp: int = 1024
    rank: int = 16
    image: int = 336  # pixels; patches of 14, each a token
    repeats: int = 7  # of a timing, at most
    tried: int = 3  # batch sizes, the largest of those that a contender may take
    peak_s: float = 0.25  # for which matrices are multiplied, to see how fast that can be


SIZES = {
    "tiny": Size(64, 1, 128, 2, 2, 1, 128, 4, 56, repeats=1, tried=1, peak_s=0.01),  # shows that it works, and no more
    "small": Size(),
    "large": Size(768, 12, 1024, 16, 16, 4, 2816),
    "7b": Size(1024, 24, 4096, 32, 32, 8, 14336, 128),  # Mistral 7B and CLIP-L/336, as LLaVA-Med v1.5
}
PATCH = 14
TARGETS = r".*language_model.*\.(q|k|v|o|gate|up|down)_proj"
PROJECTOR = r"model\.multi_modal_projector"


def patches(size: Size) -> int:
    """Count the tokens of an image."""
    return (size.image // PATCH) ** 2


def make_tokenizer() -> Any:
    """Make a tokenizer of numbered words."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = [*SPECIAL, *(f"w{number}" for number in range(VOCABULARY - len(SPECIAL)))]
    made = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="<pad>", eos_token="</s>", unk_token="<unk>",
        additional_special_tokens=["<image>"],
    )  # fmt: skip


def make_model(size: Size, machine: Machine) -> Any:
    """Draw the weights where they are to stay, in the dtype in which they are to stay."""
    import torch
    from transformers import CLIPVisionConfig, LlavaConfig, LlavaForConditionalGeneration, MistralConfig

    vision = CLIPVisionConfig(
        hidden_size=size.tower, intermediate_size=4 * size.tower, num_hidden_layers=size.tower_layers,
        num_attention_heads=size.tower // 64, image_size=size.image, patch_size=PATCH,
    )  # fmt: skip
    text = MistralConfig(
        hidden_size=size.width, intermediate_size=size.mlp, num_hidden_layers=size.layers,
        num_attention_heads=size.heads, num_key_value_heads=size.kv_heads, vocab_size=VOCABULARY, sliding_window=None,
        pad_token_id=0, bos_token_id=None, eos_token_id=1,
    )  # fmt: skip
    config = LlavaConfig(
        vision_config=vision, text_config=text, image_token_id=3, image_seq_length=patches(size), dtype=machine.dtype
    )
    torch.manual_seed(0)
    with torch.device(machine.device):
        return LlavaForConditionalGeneration._from_config(config, dtype=machine.torch_dtype).eval()


def make_processor(size: Size) -> Any:
    """Make what TRL reads images and texts with."""
    from transformers import LlavaProcessor
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    square = {"height": size.image, "width": size.image}
    return LlavaProcessor(
        image_processor=CLIPImageProcessorPil(size=square, crop_size=square), tokenizer=make_tokenizer(),
        patch_size=PATCH, vision_feature_select_strategy="default", num_additional_image_tokens=1,
    )  # fmt: skip


def make_backbone(size: Size, machine: Machine) -> Any:
    """Make the live backbone over a model of its own."""
    import torch

    from mmedpo.models import EncodedPrompt, TransformersBackbone

    tokenizer, images = make_tokenizer(), make_processor(size).image_processor
    image = [3] * patches(size)

    def prompt(pixels: Sequence[torch.Tensor], question: str) -> EncodedPrompt:
        ids = image + tokenizer(question, add_special_tokens=False).input_ids
        return EncodedPrompt(ids, [{"pixel_values": each} for each in pixels])

    return TransformersBackbone(
        make_model(size, machine),
        tokenizer,
        preprocess=lambda picture: torch.tensor(images(images=[picture])["pixel_values"][0])[None],
        prompt=prompt,
        end=1,
        lora_targets=TARGETS,
        projector=PROJECTOR,
    )


def stir(model: Any) -> None:
    """Give the adapter weights as after some training, the same in every process on a device."""
    import torch

    trained = sorted((name, weight) for name, weight in model.named_parameters() if weight.requires_grad)
    generator = torch.Generator(trained[0][1].device).manual_seed(11)
    for _, weight in trained:
        drawn = torch.randn(weight.shape, generator=generator, device=weight.device)
        weight.data = (0.02 * drawn).to(weight.dtype)
