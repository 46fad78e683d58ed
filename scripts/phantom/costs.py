"""Count what a base costs: parameters, operations and seconds of one core for each film that it learns from.

python scripts/phantom/costs.py large > docs/studies/results/hard-costs.json
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from architecture import make_model, make_tokenizer
from drawing import TARGETS, FilmSource
from language_training import QuestionRow, interviews, logits_of
from mmedpo_plugins.phantom.findings import BALANCED
from sizes import SIZES
from torch.utils.flop_counter import FlopCounterMode
from vision_training import see

FILMS = 8  # a step


def costs(name: str) -> dict[str, Any]:
    """Return the costs of a size, on hard films, in float32."""
    size, tokenizer = SIZES[name], make_tokenizer("hard")
    model = make_model(tokenizer, size)
    films = FilmSource(BALANCED, 0, "hard", size.patch).draw(FILMS)
    head = torch.nn.Linear(size.width, TARGETS)
    texts = interviews(films.findings, 0, size.look, "hard")
    rows = [QuestionRow.of(tokenizer, text, model.config.image_seq_length) for text in texts]

    def sight() -> None:
        seen = head(see(model.model.vision_tower, films.images))
        torch.nn.functional.binary_cross_entropy_with_logits(seen, films.targets.float()).backward()

    def speech() -> None:
        torch.nn.functional.cross_entropy(
            *logits_of(model, see(model.model.vision_tower, films.images), rows)
        ).backward()

    found = {"parameters": sum(parameter.numel() for parameter in model.parameters())}
    steps = {"sight": (sight, size.sight), "speech": (speech, size.look)}
    for part, (step, phase) in steps.items():
        gflop, seconds = _measure(step)
        found |= {f"{part}_gflop": gflop, f"{part}_seconds": seconds, f"{part}_films": phase.images * phase.epochs}
    whole = [(found[f"{part}_films"], found[f"{part}_gflop"], found[f"{part}_seconds"]) for part in steps]
    pflop, hours = sum(n * gflop for n, gflop, _ in whole) / 1e6, sum(n * seconds for n, _, seconds in whole) / 3600
    return {**found, "pflop": round(pflop, 1), "hours_of_one_core": round(hours)}


def _measure(step: Callable[[], None]) -> tuple[float, float]:
    step()
    with FlopCounterMode(display=False) as counter:
        step()
    began = time.process_time()
    step()
    return round(counter.get_total_flops() / FILMS / 1e9, 1), round((time.process_time() - began) / FILMS, 3)


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps(costs(sys.argv[1]), indent=1))
