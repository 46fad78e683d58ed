"""How LLaVA-Med sees and reads: square images, and the words of its release around the question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mmedpo.models import EncodedPrompt
from mmedpo_plugins.backbones.llava_med.conventions import IMAGE, MISTRAL, Convention

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image


@dataclass(frozen=True)
class LlavaMedPrompter:
    """Turn an image and a question into what the model takes."""

    processor: Any  # a LlavaProcessor
    image_token: int
    patches: int  # placeholders an image takes
    convention: Convention = MISTRAL

    def preprocess(self, image: Image) -> dict[str, torch.Tensor]:
        """Return the pixels (1, 3, height, width), padded to a square, resized and normalised."""
        images = self.processor.image_processor
        image = image if self.convention.own_mode else image.convert("RGB")
        square = pad_to_square(image, images.image_mean, late=self.convention.late) if images.do_pad else image
        return {"pixel_values": images(square.convert("RGB"), do_pad=False, return_tensors="pt").pixel_values}

    def prompt(self, images: Sequence[Mapping[str, torch.Tensor]], question: str) -> EncodedPrompt:
        """Tokenize what stands before and after the one image by itself, as LLaVA-Med was trained."""
        # Data made for LLaVA marks the image's place in the question; it has but one here.
        before, after = self.convention.tokenize(self.processor.tokenizer, question.replace(IMAGE, "").strip())
        return EncodedPrompt([*before, *[self.image_token] * self.patches, *after], images)


def pad_to_square(image: Image, mean: Sequence[float], *, late: bool = True) -> Image:
    """Pad an L or RGB image to a square with the mean colour, in its own mode."""
    from PIL import Image as pil

    side = max(image.size)
    colour = int(255 * sum(mean) / len(mean)) if image.mode == "L" else tuple(int(255 * part) for part in mean)
    canvas = pil.new(image.mode, (side, side), colour)
    canvas.paste(image, (_paste_offset(side - image.width, late), _paste_offset(side - image.height, late)))
    return canvas


def _paste_offset(gap: int, late: bool) -> int:
    """Return where an image begins that leaves a gap: at half of it, or `late` by a pixel where that is one of two.

    Microsoft's code draws gap // 2 or one more at random, anew each time. Here it must depend on the size alone, or the
    two sides of an image pair would differ by a shift; `late` agrees with what it drew for our fixture.
    """
    return gap // 2 + (late and gap > 0 and gap % 2 == 0)
