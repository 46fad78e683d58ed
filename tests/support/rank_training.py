"""Train in several processes beside each other, as torchrun would start them: `rank_training.py FOLDER JOBS`.

JOBS is a JSON object, a name -> what `Job` has. One process imports torch once and forks the ranks of each job, which
train the tiny LLaVA in FOLDER/NAME; it prints a JSON line a job: the exit code of each rank and what it counted. A job
with a kill is done once more to its end, and `again` is that.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from dataclasses import dataclass, field, replace
from pathlib import Path
from socket import socket
from typing import Any

import torch
from losses import make_losses, train_options
from tiny_llava import make_backbone, make_model, make_pairs
from torch.distributed.fsdp import FSDPModule

import mmedpo.models.vision.tensor_store
import mmedpo.train.logprobs
from mmedpo.events import TrainingLogged
from mmedpo.registry.contracts.setting import Setting
from mmedpo.runtime.processes import end_process_group, get_rank
from mmedpo.store.journal import Journal
from mmedpo.store.run_files.format import write_file
from mmedpo.train.fit import train_adapter
from mmedpo.train.ranks.strategy import prepare_strategy
from mmedpo.train.reference import ReferenceJournal, reference_keys
from mmedpo.train.trainer import PreferenceTrainer


@dataclass(frozen=True)
class Job:
    """A training in so many processes."""

    processes: int
    options: dict[str, Any]
    strategy: Any = "ddp"
    environment: dict[str, str] = field(default_factory=dict)  # what a launcher adds
    pairs: int = 10
    dtype: str = "float32"
    chunk: int | None = None  # of logits that are held at once
    spare: int | None = None  # bytes that a disk keeps free
    kill: tuple[int, int] | None = None  # a rank, and the step that it does not outlive; -1: the whole training


class Counter:
    """Count what a rank computes: images that its vision tower reads, pairs whose reference it works out."""

    def __init__(self, backbone: Any) -> None:
        self.images = self.reference = 0
        self.sharded = False
        backbone.model.model.vision_tower.register_forward_hook(self._count_images)
        compute = PreferenceTrainer._reference_logps
        find = PreferenceTrainer.gather_adapter

        def count_pairs(trainer: Any, pairs: Any) -> Any:
            self.reference += len(pairs)
            return compute(trainer, pairs)

        def look_at_model(trainer: Any) -> Any:
            self.sharded = any(isinstance(module, FSDPModule) for module in trainer.model.modules())
            return find(trainer)

        PreferenceTrainer._reference_logps = count_pairs  # type: ignore[method-assign]
        PreferenceTrainer.gather_adapter = look_at_model  # type: ignore[method-assign]

    def _count_images(self, module: Any, args: Any, output: Any) -> None:
        self.images += len(output.last_hidden_state)


def train(folder: Path, job: Job) -> Counter:
    """Train as one rank."""
    torch.set_num_threads(1)
    pairs, backbone = make_pairs(job.pairs), make_backbone(make_model().to(getattr(torch, job.dtype)))
    counter = Counter(backbone)
    prepare_strategy(job.strategy)
    mmedpo.train.logprobs.CHUNK = job.chunk or mmedpo.train.logprobs.CHUNK
    mmedpo.models.vision.tensor_store.SPARE = job.spare or mmedpo.models.vision.tensor_store.SPARE

    def see(event: Any) -> None:
        if isinstance(event, TrainingLogged) and job.kill:
            step = -1 if "train_runtime" in event.values else event.step
            if (get_rank(), step) == tuple(job.kill):
                os.kill(os.getpid(), signal.SIGKILL)

    journal = Journal(folder / "journal.sqlite") if get_rank() == 0 else None
    table = ReferenceJournal(journal, reference_keys(pairs)) if journal else {}
    setting = Setting(seed=1, dtype=job.dtype)  # type: ignore[arg-type]
    with end_process_group():
        options = train_options(**{**job.options, "loss": make_losses(**job.options["loss"])})
        record = train_adapter(pairs, backbone, options, folder, setting, see, precomputed=table)
    if journal:
        journal.close()
        write_file(folder, record.model_copy(update={"seconds": 0}))
    return counter


def start(folder: Path, job: Job, rank: int, port: int) -> int:
    """Fork a rank."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        os.environ |= {
            "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(job.processes),
            "LOCAL_WORLD_SIZE": str(job.processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
        } | job.environment if job.processes > 1 else job.environment  # fmt: skip
        counter = train(folder, job)
        (folder / f"counted-{rank}.json").write_text(json.dumps(vars(counter)))
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def run(folder: Path, job: Job) -> dict[str, Any]:
    """Run a job to its end."""
    folder.mkdir(exist_ok=True)
    with socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ranks = [start(folder, job, rank, port) for rank in range(job.processes)]
    codes = [os.waitstatus_to_exitcode(os.waitpid(rank, 0)[1]) for rank in ranks]
    counted = [folder / f"counted-{rank}.json" for rank in range(job.processes)]
    return {"codes": codes, "counted": [json.loads(path.read_text()) for path in counted if path.exists()]}


def main(folder: Path, jobs: dict[str, Any]) -> None:
    """Run every job."""
    for name, values in jobs.items():
        job = Job(**values)
        done = run(folder / name, job)
        if job.kill:
            done["again"] = run(folder / name, replace(job, kill=None))
        print(json.dumps({"name": name, **done}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]))
