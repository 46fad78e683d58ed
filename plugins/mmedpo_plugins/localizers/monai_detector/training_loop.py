"""Teach the detector: augmented films, steps until it stops getting better, the best kept."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from mmedpo_plugins.localizers.monai_detector.detection_metrics import average_precision
from mmedpo_plugins.localizers.monai_detector.inference import detect
from mmedpo_plugins.localizers.monai_detector.learning_options import LearningOptions
from mmedpo_plugins.localizers.monai_detector.network import LesionDetector, NetworkShape, build_detector

Example = dict[str, Tensor]  # "image" (1, height, width), "box" (n, 4), "label" (n,)


def train_detector(
    options: LearningOptions,
    labels: tuple[str, ...],
    train: Sequence[Example],
    validation: Sequence[Example],
    seed: int,
    device: str,
    tell: Callable[[int, dict[str, Any]], None] = lambda step, facts: None,
) -> tuple[LesionDetector, NetworkShape, list[dict[str, Any]]]:
    """Return the detector that was best on the validation films, its shape, and the looks taken on the way."""
    shape = NetworkShape(labels, options.size, options.window, options.width)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        detector = build_detector(shape, device)
        history = _run_steps(detector, options, train, validation, seed, tell)
    return detector, shape, history


def _run_steps(
    detector: LesionDetector,
    options: LearningOptions,
    train: Sequence[Example],
    validation: Sequence[Example],
    seed: int,
    tell: Callable[[int, dict[str, Any]], None],
) -> list[dict[str, Any]]:
    optimizer = torch.optim.AdamW(detector.network.parameters(), lr=options.learning_rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, options.learning_rate, total_steps=options.steps, pct_start=0.1
    )
    history: list[dict[str, Any]] = []
    best: dict[str, Tensor] = {}
    losses: list[float] = []
    for step, batch in enumerate(_draw_batches(options, train, seed), 1):
        losses.append(_train_step(detector, optimizer, batch))
        schedule.step()
        tell(step, {})
        if step % options.examine_every and step < options.steps:
            continue
        look = {
            "step": step,
            "loss": round(sum(losses) / len(losses), 5),
            "map": _measure_precision(detector, validation),
        }
        history.append(look)
        tell(step, look)
        losses = []
        top = max(range(len(history)), key=lambda at: history[at]["map"])
        if top == len(history) - 1:
            best = copy.deepcopy(detector.network.state_dict())
        if step == options.steps or len(history) - 1 - top >= options.patience:
            break
    detector.network.load_state_dict(best)
    detector.eval()
    return history


def _train_step(detector: LesionDetector, optimizer: torch.optim.Optimizer, batch: list[Example]) -> float:
    detector.train()
    device = next(detector.network.parameters()).device
    films = [item["image"].to(device) for item in batch]
    loss = sum(detector(films, [{"box": item["box"], "label": item["label"]} for item in batch]).values())
    assert isinstance(loss, Tensor)
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(detector.network.parameters(), 5.0)
    optimizer.step()
    return float(loss.detach())


def _measure_precision(detector: LesionDetector, films: Sequence[Example]) -> float:
    found = detect(detector, [item["image"] for item in films])
    return round(average_precision(found, films)["map"], 4)


def _draw_batches(options: LearningOptions, examples: Sequence[Example], seed: int) -> Iterator[list[Example]]:
    """Yield batches without end: every film once in each round, each time another view of it."""
    generator = torch.Generator().manual_seed(seed)
    view = build_augmentation(options, seed)
    waiting: list[int] = []
    for _ in range(options.steps):
        while len(waiting) < options.batch_size:
            waiting += torch.randperm(len(examples), generator=generator).tolist()
        chosen, waiting = waiting[: options.batch_size], waiting[options.batch_size :]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # MONAI's notices of its own deprecations
            yield [view(examples[index]) for index in chosen]


def build_augmentation(options: LearningOptions, seed: int) -> Callable[[Example], Example]:
    """Return what shows a film another way: zoomed, shifted, brighter, noisier, by option mirrored or in part."""
    from monai.apps.detection.transforms.dictionary import (
        ClipBoxToImaged,
        RandCropBoxByPosNegLabeld,
        RandFlipBoxd,
        RandZoomBoxd,
    )
    from monai.transforms import Compose, RandAdjustContrastd, RandGaussianNoised, RandShiftIntensityd

    steps: list[Any] = [
        RandZoomBoxd("image", "box", "image", prob=0.7, min_zoom=0.85, max_zoom=1.15, padding_mode="constant")
    ]
    if options.flip:
        steps.append(RandFlipBoxd("image", "box", "image", prob=0.5, spatial_axis=1))
    if options.window:
        steps.append(
            RandCropBoxByPosNegLabeld(
                "image", "box", "label", [options.window] * 2, whole_box=False, num_samples=1, pos=3, neg=1
            )
        )
    steps += [
        ClipBoxToImaged("box", "label", "image", remove_empty=True),
        RandAdjustContrastd("image", prob=0.3, gamma=(0.8, 1.25)),
        RandShiftIntensityd("image", offsets=0.2, prob=0.5),
        RandGaussianNoised("image", prob=0.3, std=0.15),
    ]
    chain = Compose(steps)
    chain.set_random_state(seed % 2**32)
    return lambda example: _plain_tensors(chain(example))


def _plain_tensors(seen: Any) -> Example:
    one = seen[0] if isinstance(seen, list) else seen
    return {name: torch.as_tensor(one[name]).as_subclass(Tensor) for name in ("image", "box", "label")}
