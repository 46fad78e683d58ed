"""The published checkpoint of MedKLIP: a state dict, saved from several GPUs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmedpo import DataError
from mmedpo.models import read_pickled, require_finite
from mmedpo_plugins.localizers.medklip.network import MedKlipNetwork

PREFIX = "module."  # of DataParallel
ALONE = "torch.save({'model': checkpoint['model']}, ...) leaves the tensors alone"


def load_network(path: Path, device: str) -> MedKlipNetwork:
    """Build the network with a checkpoint's weights. Raises DataError that names the tensors that do not fit."""
    with torch.device("meta"):
        network = MedKlipNetwork()
    state = {name.removeprefix(PREFIX): value for name, value in _read_state(path).items()}
    _require_fit(path, {name: value.shape for name, value in network.state_dict().items()}, state)
    require_finite(str(path), iter(state.items()))
    network.load_state_dict(state, assign=True)
    return network.float().to(device).eval()


def _read_state(path: Path) -> Mapping[str, Tensor]:
    content: Any = read_pickled(path, ALONE)
    state = content.get("model", content) if isinstance(content, dict) else content
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise DataError(f"{path}: is no state dict, and has none under 'model'")
    return state


def _require_fit(path: Path, wanted: Mapping[str, torch.Size], state: Mapping[str, Tensor]) -> None:
    faults = [f"{name} is missing" for name in wanted if name not in state]
    faults += [f"{name} is of no use" for name in state if name not in wanted]
    for name, shape in wanted.items():
        if name in state and state[name].shape != shape:
            faults.append(f"{name} is {tuple(state[name].shape)}, not {tuple(shape)}")
    if faults:
        more = f" and {len(faults) - 3} more" if len(faults) > 3 else ""
        raise DataError(f"{path}: is no checkpoint of MedKLIP: {', '.join(faults[:3])}{more}")
