"""What a contender's backward pass left behind, held against another's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

Gradients = Mapping[str, Any]  # parameter -> tensor on the CPU


def gradients(model: Any) -> Gradients:
    """Return copies of the gradients, off the device, so that they take none of its memory."""
    named = model.named_parameters()
    return {name: p.grad.detach().cpu().contiguous() for name, p in named if p.grad is not None and ".ref." not in name}


def save(found: Gradients, path: Path) -> None:
    """Keep gradients for another process."""
    from safetensors.torch import save_file

    save_file(dict(found), path)


def load(path: Path) -> Gradients:
    """Return what was kept."""
    from safetensors.torch import load_file

    return load_file(path)


def difference(mine: Gradients, theirs: Gradients, device: str = "cpu") -> dict[str, float]:
    """Return the norm of the difference over the norm: of the worst tensor, and of all together."""
    assert mine.keys() == theirs.keys(), sorted(mine.keys() ^ theirs.keys())[:3]
    squares = []
    for name, gradient in theirs.items():
        other = gradient.to(device).float()
        squares.append(((mine[name].to(device).float() - other).square().sum().item(), other.square().sum().item()))
    apart, whole = (sum(part) for part in zip(*squares, strict=True))
    worst = max((one / other) ** 0.5 if other else float(one > 0) for one, other in squares)
    return {"worst": worst, "whole": (apart / whole) ** 0.5}
