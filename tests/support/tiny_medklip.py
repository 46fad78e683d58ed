"""MedKLIP of drawn weights, in the files that a recipe names."""

from __future__ import annotations

from pathlib import Path


def write_medklip(folder: Path) -> None:
    """Write a checkpoint from several GPUs, and the numbers of two observations. It knows nothing of films."""
    import torch
    from mmedpo_plugins.localizers.medklip.network import WORDS, MedKlipNetwork
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        state = {f"module.{name}": value for name, value in MedKlipNetwork().state_dict().items()}
        torch.save({"model": state}, folder / "checkpoint.pth")
        save_file({name: torch.randn(WORDS) for name in ("normal", "disease")}, folder / "queries.safetensors")
