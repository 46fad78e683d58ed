"""Which of several training processes this is, and how they agree. Without a launcher, there is one."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from mmedpo.core.notes import print_note
from mmedpo.errors import RunInterrupt

LAUNCHED = "MMEDPO_LAUNCHED"  # in the environment of processes that another of ours started, and speaks for
LOST = (  # how gloo, NCCL and torch's store say that a process is gone
    "onnection closed by peer",
    "onnection reset by peer",
    "roken pipe",
    "gloo/transport",
    "remote process exited",
    "Socket Timeout",
)

Value = TypeVar("Value")


def get_rank() -> int:
    """Return the number of this process, as its launcher gave it."""
    return int(os.environ.get("RANK", "0"))


def get_world_size() -> int:
    """Return how many processes train together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def get_local_size() -> int:
    """Return how many of them are on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def local_device(device: str) -> str:
    """Return this process's GPU of the machine, when the recipe means any."""
    return f"{device}:{os.environ.get('LOCAL_RANK', '0')}" if get_world_size() > 1 and device == "cuda" else device


def broadcast_from_first(value: Value) -> Value:
    """Return the first process's value in all of them."""
    if get_world_size() == 1:
        return value
    import torch

    values = [value]
    torch.distributed.broadcast_object_list(values, src=0)
    return values[0]


def gather_objects(value: Value) -> list[Value]:
    """Return every process's value, in the order of their numbers."""
    if get_world_size() == 1:
        return [value]
    import torch

    values: list[Value] = [value] * get_world_size()
    torch.distributed.all_gather_object(values, value)
    return values


def barrier() -> None:
    """Wait until all processes are here."""
    gather_objects(None)


def tell_launcher(text: str) -> bool:
    """Leave the last word to whoever started this process, where that is us: several would say the same."""
    place = os.environ.get("TORCHELASTIC_ERROR_FILE")
    if LAUNCHED not in os.environ or place is None:
        return False
    Path(place).write_text(json.dumps({"message": {"message": text, "extraInfo": {"timestamp": int(time.time())}}}))
    return True


@contextmanager
def notice_lost_process() -> Iterator[None]:
    """Raise RunInterrupt where work together failed because another process is gone."""
    try:
        yield
    except RuntimeError as error:
        if get_world_size() > 1 and any(sign in str(error) for sign in LOST):
            raise RunInterrupt(
                "another of the training processes has ended. What is finished is kept: run the same command to go on."
            ) from error
        raise


@contextmanager
def end_process_group() -> Iterator[None]:
    """End the group of processes with the work that they did together."""
    try:
        yield
    finally:
        if get_world_size() > 1:
            import torch

            if torch.distributed.is_initialized():
                torch.distributed.destroy_process_group()


def warn_once(line: str) -> None:
    """Say something from the first process alone."""
    if get_rank() == 0:
        print_note(line)
