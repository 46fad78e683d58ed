"""Open saved models with whatever transformers is here, and say what becomes of an image and a question.

It runs in environments that have nothing of ours: `python open_saved.py FOLDER ...`.
"""

from __future__ import annotations

import inspect
import json
import sys
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors.torch import load_file

QUESTION = "is there a nodule?"
TEXT = "is there  a nodule? <image> </s> no\n"
LISTS = ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs")


def draw_image() -> Image.Image:
    """Draw an image that is no square and in which every place differs; by an odd number, see `pad_to_square`."""
    return Image.linear_gradient("L").rotate(30).resize((61, 44)).convert("RGB")


def open_folder(folder: Path) -> dict[str, Any]:
    """Return what became of what the folder has: a tokenizer, a processor, a model.

    A model whose folder has an `asked.safetensors` beside it is given that, else the question through the processor.
    """
    if not (folder / "config.json").exists():
        return read_words(folder)
    asked = folder.parent / "asked.safetensors"
    if asked.exists():
        return run_model(folder, load_file(asked))
    inputs = read_question(folder)
    read = {"tokens": inputs["input_ids"][0].tolist(), "pixels": inputs["pixel_values"].flatten().tolist()}
    return read_words(folder) | read | run_model(folder, inputs)


def read_words(folder: Path) -> dict[str, Any]:
    """Return the tokens of some text and what is read back."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = tokenizer(TEXT).input_ids
    return {"words": ids, "back": tokenizer.decode(ids, skip_special_tokens=True)}


def read_question(folder: Path) -> dict[str, Any]:
    """Return what a folder's processor makes of the image and the question, in the two steps in which most ask it."""
    from transformers import AutoProcessor

    processor = AutoProcessor.from_pretrained(folder)
    asked = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": QUESTION}]}]
    text = processor.apply_chat_template(asked, add_generation_prompt=True)
    return dict(processor(images=draw_image(), text=text, return_tensors="pt"))


def run_model(folder: Path, inputs: dict[str, Any]) -> dict[str, Any]:
    """Return what was amiss with the weights, and the logits of the last tokens."""
    from transformers import AutoModelForImageTextToText

    model, report = AutoModelForImageTextToText.from_pretrained(folder, output_loading_info=True, torch_dtype="float32")
    known = inspect.signature(model.forward).parameters
    with torch.no_grad():
        logits = model.eval()(**{name: tensor for name, tensor in inputs.items() if name in known}).logits[0, -4:]
    amiss = {name: sorted(map(str, report[name])) for name in LISTS if report[name]}
    return {"amiss": amiss, "logits": logits.tolist()}


if __name__ == "__main__":
    for name in sys.argv[1:]:
        print(json.dumps(open_folder(Path(name))), flush=True)
