"""Open saved models with whatever transformers is here, and say what becomes of an image and a question.

It runs in environments that have nothing of ours: `python open_saved.py FOLDER ...`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from PIL import Image

QUESTION = "is there a nodule?"
LISTS = ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs")


def draw_image() -> Image.Image:
    """Draw an image that is no square and in which every place differs; by an odd number, see `pad_to_square`."""
    return Image.linear_gradient("L").rotate(30).resize((61, 44)).convert("RGB")


def open_folder(folder: Path) -> dict[str, Any]:
    """Return what was amiss, the tokens and pixels of a question, and the logits of its last tokens."""
    from transformers import AutoModelForImageTextToText, AutoProcessor, AutoTokenizer

    model, report = AutoModelForImageTextToText.from_pretrained(folder, output_loading_info=True, torch_dtype="float32")
    processor = AutoProcessor.from_pretrained(folder)
    inputs = read_question(processor)
    with torch.no_grad():
        logits = model.eval()(**inputs).logits[0, -4:]
    return {
        "amiss": {name: sorted(map(str, report[name])) for name in LISTS if report[name]},
        "tokens": inputs["input_ids"][0].tolist(),
        "words": AutoTokenizer.from_pretrained(folder)("no </s> nodule\n").input_ids,
        "pixels": inputs["pixel_values"].flatten().tolist(),
        "logits": logits.tolist(),
    }


def read_question(processor: Any) -> dict[str, Any]:
    """Return what a processor makes of the image and the question in its chat template."""
    asked = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": QUESTION}]}]
    text = processor.apply_chat_template(asked, add_generation_prompt=True)
    return dict(processor(images=draw_image(), text=text, return_tensors="pt", add_special_tokens=False))


if __name__ == "__main__":
    for name in sys.argv[1:]:
        print(json.dumps(open_folder(Path(name))), flush=True)
