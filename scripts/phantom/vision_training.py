"""Teach the tower to see: from each patch, which finding covers it, on which side, and whether it is a large one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from descent import descend
from mmedpo_plugins.phantom.anatomy import SIZE
from mmedpo_plugins.phantom.film import PhantomFilm
from mmedpo_plugins.phantom.findings import LABELS, PhantomFinding
from mmedpo_plugins.phantom.model import PATCH, PATCHES, normalise_grey

TARGETS = 3 * len(LABELS)  # per patch: covered, covered on the left, covered by a large one


@dataclass(frozen=True)
class FilmTensors:
    """Films as the training needs them."""

    images: torch.Tensor  # (n, 112, 112), uint8
    targets: torch.Tensor  # (n, 49, 18), 0 or 1
    findings: list[tuple[PhantomFinding, ...]]

    def first(self, count: int) -> FilmTensors:
        """Return the first films alone."""
        return FilmTensors(self.images[:count], self.targets[:count], self.findings[:count])


def gather(films: Iterable[PhantomFilm]) -> FilmTensors:
    """Take films together."""
    rows = [(film.pixels, patch_targets(film), film.findings) for film in films]
    images, targets, findings = zip(*rows, strict=True)
    return FilmTensors(torch.from_numpy(np.stack(images)), torch.from_numpy(np.stack(targets)), list(findings))


def patch_targets(film: PhantomFilm) -> np.ndarray[Any, Any]:
    """Return which finding covers each patch, (49, 18)."""
    out = np.zeros((3, len(LABELS), PATCHES), np.float32)
    side = SIZE // PATCH
    for finding, mask in zip(film.findings, film.masks, strict=True):
        share = mask.reshape(side, PATCH, side, PATCH).mean((1, 3)).reshape(-1)
        covered = (share > 0.1) | (share == share.max())
        told = np.array([[True], [finding.side == "left"], [finding.size == "large"]])
        out[:, LABELS.index(finding.label)] = covered & told
    return out.reshape(TARGETS, PATCHES).T


def see(tower: Any, images: torch.Tensor) -> torch.Tensor:
    """Turn images (n, 112, 112) into what the projector gets, (n, 49, width)."""
    return tower(normalise_grey(images), output_hidden_states=True).hidden_states[-1][:, 1:]


@torch.no_grad()
def features(tower: Any, films: FilmTensors, batch: int = 64) -> torch.Tensor:
    """Return what a frozen tower sees of all films, (n, 49, width)."""
    return torch.cat([see(tower, part) for part in films.images.split(batch)])


def train_tower(tower: Any, films: FilmTensors, seed: int, epochs: int, rate: float = 1e-3, batch: int = 64) -> None:
    """Train the tower in place, and freeze it."""
    head = torch.nn.Linear(tower.config.hidden_size, TARGETS)
    parameters = [*tower.parameters(), *head.parameters()]
    total = epochs * (len(films.images) // batch)
    optimiser = torch.optim.AdamW(parameters, lr=rate, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=total, pct_start=0.1)
    order = np.random.default_rng(seed)
    tower.train()
    parts = (
        part
        for _ in range(epochs)
        for part in np.array_split(order.permutation(len(films.images)), len(films.images) // batch)
    )
    losses = (
        torch.nn.functional.binary_cross_entropy_with_logits(head(see(tower, films.images[part])), films.targets[part])
        for part in parts
    )
    descend("sight", losses, parameters, optimiser, schedule, every=50)
    tower.eval().requires_grad_(False)
