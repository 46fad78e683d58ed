"""Speak to a model in its own chat template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from mmedpo.models import EncodedPrompt

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

TYPES = ("mm_token_type_ids", "token_type_ids")
TEXT = {"input_ids", "attention_mask", *TYPES}
SAID = "ANSWER"  # stands for any answer


class ShownImage:
    """An RGB image, and what the model is given of it where it stands beside others."""

    def __init__(self, image: Image, prompter: ChatTemplatePrompter) -> None:
        self.image, self._prompter = image, prompter

    @cached_property
    def vision(self) -> Mapping[str, torch.Tensor]:
        """The vision tensors of this image alone."""
        return self._prompter.prompt([self], "?").vision[0]


class ChatTemplatePrompter:
    """Ask with a processor's chat template, and know what it puts around an answer."""

    def __init__(self, processor: Any) -> None:
        self.processor = processor

    def preprocess(self, image: Image) -> ShownImage:
        """Return an image as `prompt` takes it."""
        return ShownImage(image.convert("RGB"), self)

    def prompt(self, images: Sequence[ShownImage], question: str) -> EncodedPrompt:
        """Return what the model reads before it answers."""
        inputs = self.processor.apply_chat_template(
            self._question_turns(question, [{"image": shown.image} for shown in images]),
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
        )
        types = next((inputs[key][0].tolist() for key in TYPES if key in inputs), None)
        vision = {key: value for key, value in inputs.items() if key not in TEXT}
        each = [vision] if len(images) == 1 else [shown.vision for shown in images]
        return EncodedPrompt(inputs["input_ids"][0].tolist(), each, types)

    def rehearse(self) -> EncodedPrompt:
        """Ask about a blank image, to find out now what would fail later."""
        from PIL import Image as pil

        return self.prompt([self.preprocess(pil.new("RGB", (64, 48), "grey"))], "?")

    @cached_property
    def types_key(self) -> str:
        """The name under which the model takes token types."""
        names = self.processor.model_input_names
        return next((key for key in TYPES if key in names), TYPES[0])

    @property
    def lead(self) -> str:
        """What the template puts between prompt and answer, a space perhaps."""
        return self._answer_frame[0]

    @property
    def end(self) -> int:
        """The token with which the template closes an answer."""
        tokenizer = self.processor.tokenizer
        first = tokenizer(self._answer_frame[1], add_special_tokens=False).input_ids[:1]
        return first[0] if first and first[0] in tokenizer.all_special_ids else tokenizer.eos_token_id

    @cached_property
    def _answer_frame(self) -> tuple[str, str]:
        """What stands before and after an answer, as far as the template repeats the prompt before it."""
        said = {"role": "assistant", "content": [{"type": "text", "text": SAID}]}
        prompt = self.processor.apply_chat_template(self._question_turns("?"), add_generation_prompt=True)
        whole = self.processor.apply_chat_template([*self._question_turns("?"), said])
        if not whole.startswith(prompt) or SAID not in whole:
            return "", ""
        before, _, after = whole[len(prompt) :].partition(SAID)
        return before, after

    def _question_turns(self, question: str, images: Sequence[Mapping[str, Image]] = ({},)) -> list[dict[str, Any]]:
        # An image has its own place in the template; another placeholder would stand for no image.
        text = question.replace(getattr(self.processor, "image_token", None) or "<image>", "").strip()
        shown = [{"type": "image", **image} for image in images]
        return [{"role": "user", "content": [*shown, {"type": "text", "text": text}]}]
