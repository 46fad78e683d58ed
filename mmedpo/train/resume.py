"""Training checkpoints that are complete or do not count: a marker is written last, after all else is on disk."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

MARKER = "complete"
KEPT = 2  # the newest ones


@contextmanager
def save_whole(checkpoint: Path) -> Iterator[None]:
    """Leave nothing of a checkpoint that could not be written to its end."""
    try:
        yield
    except BaseException:
        if not (checkpoint / MARKER).exists():
            shutil.rmtree(checkpoint, ignore_errors=True)
        raise


def seal_checkpoint(checkpoint: Path) -> None:
    """Mark a checkpoint as complete once all its files are on disk."""
    flush_folder(checkpoint)
    with (checkpoint / MARKER).open("w") as file:
        file.write("every file of this checkpoint was on disk before this one\n")
        file.flush()
        os.fsync(file.fileno())
    _sync_folder(checkpoint)
    _sync_folder(checkpoint.parent)


def find_newest(folder: Path) -> Path | None:
    """Return the newest complete checkpoint of a folder, and delete those that are incomplete."""
    for checkpoint in _list_checkpoints(folder):
        if not (checkpoint / MARKER).exists():
            shutil.rmtree(checkpoint)
    return max(_list_checkpoints(folder), key=_step_of, default=None)


def delete_old(folder: Path) -> None:
    """Delete all but the newest complete checkpoints."""
    complete = sorted((path for path in _list_checkpoints(folder) if (path / MARKER).exists()), key=_step_of)
    for checkpoint in complete[:-KEPT]:
        (checkpoint / MARKER).unlink()  # first, so that one half deleted does not count
        shutil.rmtree(checkpoint)


def flush_folder(folder: Path) -> None:
    """Flush every file and folder below to the disk."""
    for place, _, names in os.walk(folder):
        for name in names:
            with open(os.path.join(place, name), "rb") as file:
                os.fsync(file.fileno())
        _sync_folder(Path(place))


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _list_checkpoints(folder: Path) -> Iterator[Path]:
    return (path for path in list(folder.glob("checkpoint-*")) if path.name.removeprefix("checkpoint-").isdecimal())


def _step_of(checkpoint: Path) -> int:
    return int(checkpoint.name.removeprefix("checkpoint-"))


class ResumeKeeper(TrainerCallback):
    """Keep a resumed run as one never killed: it logs wherever a checkpoint is written and has the same batches."""

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        """Ask for a log when a checkpoint is due."""
        control.should_log = control.should_log or control.should_save
        return control

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        """Tell the batches their epoch: before 5.17 transformers does not where it goes on in the middle of one."""
        kwargs["train_dataloader"].set_epoch(int(state.epoch or 0))
        return control
