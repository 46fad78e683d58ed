"""Train in child processes that kill themselves with SIGKILL where told: `killed_training.py FOLDER WHERE...`.

One process imports torch once and forks a child for each training, before it computes anything itself. For each
WHERE it trains in FOLDER/WHERE until the kill, then once more to the end, and prints what happened as a JSON line.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch
from losses import make_losses, train_options
from tiny_llava import make_backbone, make_pairs

import mmedpo.train.lora
import mmedpo.train.resume
from mmedpo.events import StageAdvanced, TrainingLogged
from mmedpo.recipe.train_options import LoraOptions, ProjectorOptions
from mmedpo.registry.contracts.setting import Setting
from mmedpo.store.journal import Journal
from mmedpo.store.run_files.format import write_file
from mmedpo.train.fit import train_adapter
from mmedpo.train.reference import ReferenceJournal, reference_keys

OPTIONS = train_options(
    lora=LoraOptions(r=4, alpha=8, dropout=0.1),  # dropout, so that the random state must come back as well
    projector=ProjectorOptions(learning_rate=0.001),
    loss=make_losses(nll=0.5, kl=0.5),  # the start that the KL is from must be that of the first try
    learning_rate=0.01,
    epochs=2,
    batch_size=2,
    accumulate=2,
    checkpoint_every=3,
    validation=0.2,
)  # 20 pairs, 16 of them trained: 8 steps, checkpoints at 3, 6 and 8; an epoch ends at 4


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def see_until(where: str) -> Any:
    """Return an observer that kills at an event: "reference", or "step-N" once step N was logged."""
    seen: list[Any] = []

    def see(event: Any) -> None:
        if isinstance(event, StageAdvanced) and event.stage == where:
            seen.append(event)
            if len(seen) == 3:
                die()
        if isinstance(event, TrainingLogged) and where == f"step-{event.step}" and "loss" in event.values:
            die()

    return see


def arm(where: str) -> None:
    """Make the process die amid writing: half an optimizer file, an unsealed checkpoint, a half-written adapter."""
    save, flush_folder, saves = torch.save, mmedpo.train.resume.flush_folder, []

    def half_save(value: Any, path: Any, *args: Any, **kwargs: Any) -> None:
        save(value, path, *args, **kwargs)
        saves.append(path)
        if str(path).endswith("checkpoint-6/optimizer.pt"):
            os.truncate(path, os.path.getsize(path) // 2)
            die()

    def no_seal(folder: Path) -> None:
        if folder.name == "checkpoint-6":
            die()
        flush_folder(folder)

    def no_adapter(folder: Path) -> None:
        weights = folder / "adapter_model.safetensors"
        os.truncate(weights, weights.stat().st_size // 2)
        die()

    if where == "half-a-checkpoint":
        torch.save = half_save
    elif where == "unsealed-checkpoint":
        mmedpo.train.resume.flush_folder = no_seal
    elif where == "half-an-adapter":
        mmedpo.train.lora.flush_folder = no_adapter


def work(folder: Path, where: str) -> None:
    torch.set_num_threads(1)
    arm(where)
    pairs, journal = make_pairs(20), Journal(folder / "journal.sqlite")
    table = ReferenceJournal(journal, reference_keys(pairs))
    summary = train_adapter(
        pairs, make_backbone(), OPTIONS, folder, Setting(seed=1), see_until(where), precomputed=table
    )
    journal.close()
    write_file(folder, summary.model_copy(update={"seconds": 0}))


def in_child(folder: Path, where: str) -> int:
    """Return 0 when the child ended well, -9 when it was killed, 1 when it failed."""
    child = os.fork()
    if not child:
        code = 1
        try:
            work(folder, where)
            code = 0
        finally:
            sys.stderr.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main(folder: Path, places: list[str]) -> None:
    for where in places:
        first = in_child(folder / where, where)
        left = sorted(path.name for path in (folder / where / "checkpoints").glob("checkpoint-*"))
        sealed = [name for name in left if (folder / where / "checkpoints" / name / "complete").exists()]
        adapter = (folder / where / "adapter").exists()
        second = in_child(folder / where, "nowhere")
        print(
            json.dumps({"where": where, "codes": [first, second], "left": left, "sealed": sealed, "adapter": adapter})
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
