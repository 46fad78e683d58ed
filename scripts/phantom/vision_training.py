"""Teach the tower to see: from each patch, which finding covers it, on which side, and whether it is a large one."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from descent import descend
from drawing import TARGETS, FilmTensors
from mmedpo_plugins.phantom.exam import auc
from mmedpo_plugins.phantom.findings import LABELS
from mmedpo_plugins.phantom.model import normalise_grey
from sizes import SightPhase


def see(tower: Any, images: torch.Tensor) -> torch.Tensor:
    """Turn images (n, 112, 112) into what the projector gets, (n, patches, width)."""
    return tower(normalise_grey(images), output_hidden_states=True).hidden_states[-1][:, 1:]


@torch.no_grad()
def features(tower: Any, images: torch.Tensor, batch: int = 64) -> torch.Tensor:
    """Return what a frozen tower sees of all films, (n, patches, width)."""
    return torch.cat([see(tower, part) for part in images.split(batch)])


@torch.no_grad()
def sight(tower: Any, head: torch.nn.Linear, films: FilmTensors, batch: int = 64) -> dict[str, float]:
    """Return the AUC of each finding, of the surest patch against whether it is there."""
    scores = torch.cat([head(see(tower, part)).float().amax(1) for part in films.images.split(batch)]).cpu()
    there = films.targets.any(1).cpu()
    return {label: auc(scores[:, at].tolist(), there[:, at].tolist()) for at, label in enumerate(LABELS)}


def train_tower(tower: Any, films: FilmTensors, phase: SightPhase, seed: int) -> torch.nn.Linear:
    """Train the tower in place, freeze it, and return the head that reads findings from its patches."""
    head = torch.nn.Linear(tower.config.hidden_size, TARGETS).to(films.images.device)
    parameters = [*tower.parameters(), *head.parameters()]
    steps = len(films.images) // phase.batch
    optimiser = torch.optim.AdamW(parameters, lr=phase.rate, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, phase.rate, total_steps=phase.epochs * steps, pct_start=0.1
    )
    order = np.random.default_rng(seed)
    tower.train()
    parts = (part for _ in range(phase.epochs) for part in np.array_split(order.permutation(len(films.images)), steps))
    losses = (
        torch.nn.functional.binary_cross_entropy_with_logits(
            head(see(tower, films.images[part])).float(), films.targets[part].float()
        )
        for part in parts
    )
    descend("sight", losses, parameters, optimiser, schedule, every=50)
    tower.eval().requires_grad_(False)
    return head
