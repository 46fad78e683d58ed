"""How long a base takes here, from a few steps of each phase; so that a machine nobody has measured ends in time."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from architecture import make_model
from drawing import FilmMap, FilmSource
from language_training import interviews, train_speech
from sizes import BaseSize
from vision_training import train_tower

STEPS = 6  # that are timed, after as many that warm up


def seconds_needed(
    tokenizer: Any, size: BaseSize, films: FilmSource, each: FilmMap, workers: int, device: str
) -> float:
    """Return how long drawing and training of the whole size take, about."""
    drawing = _timed(lambda: films.draw(40)) / 40 / workers
    model = make_model(tokenizer, size).to(device)
    few = films.draw(STEPS * max(size.sight.batch, size.look.batch), each).to(device)
    texts = interviews(few.findings, 0, size.look, films.version)

    def sight() -> None:
        train_tower(model.model.vision_tower, few.first(STEPS * size.sight.batch), replace(size.sight, epochs=1), 0)

    def look() -> None:
        count = STEPS * size.look.batch
        train_speech(model, tokenizer, few.images[:count], texts[:count], replace(size.look, epochs=1), 0)

    sight()
    look()
    film = _timed(sight) / STEPS / size.sight.batch, _timed(look) / STEPS / size.look.batch
    counts = size.sight.images * size.sight.epochs, size.look.images * size.look.epochs + size.lean.images
    return size.sight.images * drawing + sum(one * count for one, count in zip(film, counts, strict=True))


def _timed(work: Callable[[], Any]) -> float:
    began = time.monotonic()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.monotonic() - began
