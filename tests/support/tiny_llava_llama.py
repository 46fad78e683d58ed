"""Random LLaVA and LLaVA-Med++ of a few thousand parameters, in the files that their public code writes.

That code's model is a LlamaForCausalLM whose `model` also has the CLIP and, in a Sequential, the projector.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tiny_llava_med import CLIP, PATCH, SIDE, write_clip, write_json, write_tokenizer, write_weights

WORDS = 300
LLAMA = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": WORDS, "rope_theta": 1e4, "initializer_range": 0.3,
}  # fmt: skip
RELEASED = {
    "model_type": "llava_llama", "architectures": ["LlavaLlamaForCausalLM"], "image_aspect_ratio": "pad",
    "mm_projector_type": "mlp2x_gelu", "mm_vision_select_layer": -2, "mm_vision_select_feature": "patch",
    "mm_vision_tower": "somewhere/clip-tiny", "mm_use_im_start_end": False, "mm_use_im_patch_token": False,
    "mm_patch_merge_type": "flat", "mm_hidden_size": CLIP["hidden_size"], "rope_scaling": None, "pretraining_tp": 1,
    "torch_dtype": "float32",
}  # fmt: skip
MARKS = ("begin_of_text", "end_of_text", "reserved_special_token_0", "start_header_id", "end_header_id", "eot_id")


@dataclass(frozen=True)
class TinyRelease:
    """A release and the modules that its files hold."""

    folder: Path
    text: Any  # a LlamaForCausalLM
    clip: Any  # a CLIPVisionModel
    projector: torch.nn.Sequential
    scales: tuple[int, ...]

    @classmethod
    def vicuna(cls, folder: Path) -> TinyRelease:
        """Write what LLaVA 1.5 is: a Llama 2, and a CLIP that looks once."""
        release = cls.write(folder, (), {"bos_token_id": 1, "eos_token_id": 2})
        write_tokenizer(folder)
        return release

    @classmethod
    def llama3(cls, folder: Path) -> TinyRelease:
        """Write a LLaVA on a Llama 3, with a CLIP that looks once."""
        return cls._begun_by_llama3(folder, ())

    @classmethod
    def plus_plus(cls, folder: Path) -> TinyRelease:
        """Write what LLaVA-Med++ is: a Llama 3, and a CLIP that looks at three scales."""
        return cls._begun_by_llama3(folder, (SIDE, 2 * SIDE, 3 * SIDE))

    @classmethod
    def _begun_by_llama3(cls, folder: Path, scales: tuple[int, ...]) -> TinyRelease:
        release = cls.write(folder, scales, {"bos_token_id": 256, "eos_token_id": 257})
        write_llama3_tokenizer(folder)
        return release

    @classmethod
    def write(cls, folder: Path, scales: tuple[int, ...], tokens: dict[str, int]) -> TinyRelease:
        from transformers import CLIPVisionConfig, CLIPVisionModel, LlamaConfig, LlamaForCausalLM

        width = CLIP["hidden_size"] * max(1, len(scales))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            text = LlamaForCausalLM(LlamaConfig(**LLAMA, **tokens)).eval()
            clip = CLIPVisionModel(CLIPVisionConfig(**CLIP)).eval()
            layers = torch.nn.Linear(width, 32), torch.nn.GELU(), torch.nn.Linear(32, 32)
            for parameter in clip.parameters():  # as drawn, all squares would look alike
                torch.nn.init.normal_(parameter, std=0.3)
        several = {"s2": True, "s2_scales": ",".join(map(str, scales)), "mm_hidden_size": width} if scales else {}
        release = cls(folder, text, clip, torch.nn.Sequential(*layers), scales)
        write_json(folder / "config.json", {**LLAMA, **RELEASED, **tokens, **several})
        write_clip(folder / "clip-tiny")
        write_weights(folder, release.tensors())
        return release

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return all tensors under the names of the release."""
        parts = {"": self.text, "model.mm_projector.": self.projector}
        named = {f"{start}{name}": one for start, part in parts.items() for name, one in part.state_dict().items()}
        named |= {f"model.vision_tower.vision_tower.{name}": one for name, one in self.clip_tensors().items()}
        return {name: tensor.contiguous() for name, tensor in named.items()}

    def clip_tensors(self) -> dict[str, torch.Tensor]:
        """Return the tensors of the CLIP under the names that its own checkpoint has."""
        state = self.clip.state_dict().items()
        return {f"vision_model.{name.removeprefix('vision_model.')}": one for name, one in state}

    @torch.no_grad()
    def logits(self, before: list[int], after: list[int], pixels: torch.Tensor) -> torch.Tensor:
        """Return the logits (tokens, words) of a text with an image in it, as the public code puts it together."""
        embed, image = self.text.get_input_embeddings(), self.projector(self.look(pixels))[0]
        parts = [embed(torch.tensor(before)), image, embed(torch.tensor(after, dtype=torch.long))]
        return self.text(inputs_embeds=torch.cat(parts)[None]).logits[0]

    @torch.no_grad()
    def look(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return the features (1, patches, width) of pixels (1, 3, side, side): S2 said with loops, else the CLIP's."""
        grids = [self._look_at_scale(pixels, scale) for scale in self.scales or (SIDE,)]
        return torch.cat(grids, -1).reshape(1, -1, CLIP["hidden_size"] * len(grids))

    def _look_at_scale(self, pixels: torch.Tensor, scale: int) -> torch.Tensor:
        """Return a scale's features (rows, columns, width) in the grid of one square."""
        whole = torch.nn.functional.interpolate(pixels, size=(scale, scale), mode="bicubic", align_corners=False)
        side, cells = SIDE // PATCH, SIDE // PATCH * (scale // SIDE)
        grid = torch.zeros(cells, cells, CLIP["hidden_size"])
        for row in range(scale // SIDE):
            for column in range(scale // SIDE):
                square = whole[:, :, row * SIDE : (row + 1) * SIDE, column * SIDE : (column + 1) * SIDE]
                state = self.clip(square, output_hidden_states=True).hidden_states[-2][0, 1:]
                place = slice(row * side, (row + 1) * side), slice(column * side, (column + 1) * side)
                grid[place] = state.reshape(side, side, -1)
        step = cells // side
        rows = [[grid[r : r + step, c : c + step].mean((0, 1)) for c in range(0, cells, step)]
                for r in range(0, cells, step)]  # fmt: skip
        return torch.stack([torch.stack(row) for row in rows])


def write_llama3_tokenizer(folder: Path, *, begins: bool = True) -> None:
    """Write a tokenizer that spells in bytes, with the tokens of Llama 3, which has no <unk> and no token that pads."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = Tokenizer(models.BPE({letter: index for index, letter in enumerate(letters)}, []))
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = decoders.ByteLevel()
    words.add_special_tokens([AddedToken(f"<|{mark}|>", normalized=False) for mark in MARKS])
    if begins:
        begin = [("<|begin_of_text|>", 256)]
        words.post_processor = processors.TemplateProcessing(single="<|begin_of_text|> $A", special_tokens=begin)
    words.save(str(folder / "tokenizer.json"))
    names = {"bos_token": "<|begin_of_text|>", "eos_token": "<|end_of_text|>"}
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast", **names})
