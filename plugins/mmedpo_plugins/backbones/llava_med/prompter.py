"""How LLaVA-Med v1.5 sees and reads: square images, and `[INST] <image>` before the question."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mmedpo.models import EncodedPrompt, tokenize_plain

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

IMAGE = "<image>"
CHAT = (
    "{{ bos_token }}"  # some who ask in this template let the tokenizer begin the text, some do not: it never does
    "{% for message in messages %}{% if message['role'] == 'user' %}[INST] {% if message['content'] is string %}"
    "{{ message['content'] }}{% else %}{% for item in message['content'] %}{% if item['type'] == 'image' %}<image>\n"
    "{% endif %}{% endfor %}{% for item in message['content'] %}{% if item['type'] == 'text' %}{{ item['text'] }}"
    "{% endif %}{% endfor %}{% endif %} [/INST]{% else %} {% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}{{ message['content'][0]['text'] }}{% endif %}</s>{% endif %}{% endfor %}"
)


@dataclass(frozen=True)
class LlavaMedPrompter:
    """Turn an image and a question into what the model takes."""

    processor: Any  # a LlavaProcessor
    image_token: int
    patches: int  # placeholders an image takes

    def preprocess(self, image: Image) -> dict[str, torch.Tensor]:
        """Return the pixels (1, 3, height, width), padded to a square, resized and normalised."""
        images = self.processor.image_processor
        square = pad_to_square(image, images.image_mean) if images.do_pad else image
        return {"pixel_values": images(square.convert("RGB"), do_pad=False, return_tensors="pt").pixel_values}

    def frame(self, size: tuple[int, int]) -> tuple[float, float, float, float]:
        """Return what the model sees of an image of this width and height: a square around it, or its middle."""
        pads = self.processor.image_processor.do_pad
        side = max(size) if pads else min(size)
        left, top = (-_paste_offset(side - length) if pads else (length - side) / 2 for length in size)
        return float(left), float(top), float(left + side), float(top + side)

    def prompt(self, images: Sequence[Mapping[str, torch.Tensor]], question: str) -> EncodedPrompt:
        """Tokenize what stands before and after the one image by itself, as LLaVA-Med was trained."""
        tokenizer = self.processor.tokenizer
        before = [tokenizer.bos_token_id, *tokenize_plain(tokenizer, "[INST] ")]
        # Data made for LLaVA marks the image's place in the question; it has but one here.
        after = tokenize_plain(tokenizer, f"\n{question.replace(IMAGE, '').strip()} [/INST]")
        return EncodedPrompt([*before, *[self.image_token] * self.patches, *after], images)


def pad_to_square(image: Image, mean: Sequence[float]) -> Image:
    """Pad an L or RGB image to a square with the mean colour, in its own mode as the release does."""
    from PIL import Image as pil

    side = max(image.size)
    colour = int(255 * sum(mean) / len(mean)) if image.mode == "L" else tuple(int(255 * part) for part in mean)
    canvas = pil.new(image.mode, (side, side), colour)
    canvas.paste(image, (_paste_offset(side - image.width), _paste_offset(side - image.height)))
    return canvas


def _paste_offset(gap: int) -> int:
    """Return where an image begins that leaves a gap.

    The release draws gap // 2 or one more at random, anew each time. Here it must depend on the size alone, or the two
    sides of an image pair would differ by a shift; this choice agrees with what the release drew for our fixture.
    """
    return gap // 2 + (gap > 0 and gap % 2 == 0)


def add_image_token(tokenizer: Any) -> Any:
    """Give a tokenizer of the release the word <image>, as the new name of its token <unk>.

    The release has no id for an image, and a new one would need a new row of the output layer, which would take a
    share of every probability. <unk> never comes up: the tokenizer spells what it does not know in bytes.
    """
    from tokenizers import Tokenizer, processors
    from transformers import PreTrainedTokenizerFast

    state, old = json.loads(tokenizer.backend_tokenizer.to_str()), tokenizer.unk_token
    vocabulary = state["model"]["vocab"]
    vocabulary[IMAGE] = vocabulary.pop(old)
    state["model"]["unk_token"] = IMAGE if state["model"].get("unk_token") == old else None
    for token in state["added_tokens"]:
        token["content"] = IMAGE if token["content"] == old else token["content"]
    renamed = Tokenizer.from_str(json.dumps(state))
    renamed.post_processor = processors.TemplateProcessing(single="$A", pair="$A $B")  # the chat template begins it
    return PreTrainedTokenizerFast(
        tokenizer_object=renamed,
        bos_token=tokenizer.bos_token,
        eos_token=tokenizer.eos_token,
        unk_token=IMAGE,
        pad_token=tokenizer.eos_token,  # the release pads with <unk>
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )
