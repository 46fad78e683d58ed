"""Several processes give the adapter of one, whatever they share of the model, and do between them what one does."""

from __future__ import annotations

import json
import signal
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, environment
from forks import Forks
from safetensors.torch import load_file

from mmedpo.store.run_files.format import read_file
from mmedpo.store.run_files.measures import TrainingRecord

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

OPTIONS = {
    "lora": {"r": 4, "alpha": 8},
    "learning_rate": 0.01,
    "epochs": 2,
    "batch_size": 4,
    "validation": 0.2,
    "loss": {"nll": 0.5},
    "projector": {"learning_rate": 0.001},
    "checkpoint_every": 2,
}  # 13 pairs, 11 of them trained: three steps an epoch, the last of three pairs


def job(processes: int, strategy: str = "ddp", **changes: Any) -> dict[str, Any]:
    """Return a job of `rank_training`; what is no field of it is an option of the training."""
    own = {name: changes.pop(name) for name in ("chunk", "dtype", "kill", "pairs", "spare") if name in changes}
    options = {name: value for name, value in {**OPTIONS, **changes}.items() if value is not None}
    return {"processes": processes, "strategy": strategy, "options": options, "pairs": 13, **own}


SAME = {  # of each, one process alone is the first
    "as it is": {
        "ddp": job(2), "fsdp": job(2, "fsdp"), "deepspeed": job(2, "deepspeed"),
        "three processes": job(3), "four processes": job(4, "fsdp"),
        "logits in chunks": job(2, "fsdp", chunk=100),
        "no features kept": job(2, "fsdp", vision_memory=0),
        "full disk": job(2, "fsdp", spare=2**60),
        "full disk for whole models": job(2, spare=2**60),
        "checkpointing": job(2, "fsdp", gradient_checkpointing=True),
    },
    "vision tower": {name: job(2, name, vision_tower=True) for name in ("ddp", "fsdp", "deepspeed")},
    "all weights": {name: job(2, name, method="full", lora=None) for name in ("ddp", "fsdp", "deepspeed")},
    "dora": {"fsdp": job(2, "fsdp", lora={"r": 4, "alpha": 8, "dora": True})},
    "accumulated": {"ddp": job(2, batch_size=1, accumulate=4), "fsdp": job(2, "fsdp", batch_size=1, accumulate=4),
                    "deepspeed": job(2, "deepspeed", batch_size=1, accumulate=4)},
    "plain pairs": {name: job(2, name, packing="pairs") for name in ("ddp", "fsdp")},
    "bfloat16": {name: job(2, name, dtype="bfloat16") for name in ("ddp", "fsdp", "deepspeed")},
}  # fmt: skip
ALONE = {
    "as it is": job(1),
    "accumulated": job(1, batch_size=1, accumulate=4),
    "plain pairs": job(1, packing="pairs"),
    "vision tower": job(1, vision_tower=True),
    "all weights": job(1, method="full", lora=None),
    "dora": job(1, lora={"r": 4, "alpha": 8, "dora": True}),
    "bfloat16": job(1, dtype="bfloat16"),
}
KILLED = {  # six steps, checkpoints at 2, 4 and 6
    "ddp": job(2, kill=(1, 3)), "fsdp": job(2, "fsdp", kill=(1, 3)), "deepspeed": job(2, "deepspeed", kill=(1, 3)),
    "the first": job(2, kill=(0, 3)),
    "ddp when done": job(2, kill=(1, -1)), "fsdp when done": job(2, "fsdp", kill=(1, -1)),
    "deepspeed when done": job(2, "deepspeed", kill=(1, -1)),
}  # fmt: skip
WITHOUT_DEEPSPEED = find_spec("deepspeed") is None


def needs(name: str) -> Any:
    return pytest.mark.skipif("deepspeed" in name and WITHOUT_DEEPSPEED, reason="deepspeed is not installed")


CASES = [pytest.param(case, name, marks=needs(name)) for case, jobs in SAME.items() for name in jobs]
UNKEPT = {"no features kept", "full disk", "full disk for whole models"}
KEEPING = [case for case in CASES if case.values[0] != "vision tower" and case.values[1] not in UNKEPT]


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory, forks: Forks) -> tuple[Path, dict[str, Any]]:
    """Train all jobs; return where, and what each printed."""
    folder = tmp_path_factory.mktemp("ranks")
    jobs = {f"{case} {name}": job for case, made in SAME.items() for name, job in made.items()}
    jobs |= {f"{case} alone": job for case, job in ALONE.items()} | {
        f"killed {name}": job for name, job in KILLED.items()
    }
    if WITHOUT_DEEPSPEED:
        jobs = {name: job for name, job in jobs.items() if job["strategy"] != "deepspeed"}
    done = forks.run(
        [str(ROOT / "tests/support/rank_training.py"), str(folder), json.dumps(jobs)], folder, environment()
    )
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return folder, {row["name"]: {**row, "stderr": done.stderr[-5000:]} for row in rows}


def apart(folder: Path, name: str, other: str) -> float:
    """Return how far apart two adapters are, as the norm of the difference over the norm."""
    one, two = (load_file(folder / it / "adapter" / "adapter_model.safetensors") for it in (name, other))
    assert one.keys() == two.keys()
    difference = sum(float((one[key] - two[key]).square().sum()) for key in one)
    return (difference / sum(float(tensor.square().sum()) for tensor in one.values())) ** 0.5


@pytest.mark.parametrize(("case", "name"), CASES)
def test_several_processes_give_the_adapter_of_one(ranks: tuple[Path, dict[str, Any]], case: str, name: str) -> None:
    folder, rows = ranks
    row = rows[f"{case} {name}"]
    assert row["codes"] == [0] * len(row["codes"]), row["stderr"]
    assert apart(folder, f"{case} alone", f"{case} {name}") < (2e-2 if case == "bfloat16" else 1e-5)
    one, several = (read_file(folder / f"{case} {it}", TrainingRecord) for it in ("alone", name))
    assert one
    assert several
    assert [step["pairs"] for step in several.history] == [step["pairs"] for step in one.history]
    assert several.counts == one.counts


@pytest.mark.parametrize("name", ["fsdp", "four processes", "logits in chunks"])
def test_a_strategy_that_divides_the_model_does_so_on_a_cpu_too(ranks: tuple[Path, dict[str, Any]], name: str) -> None:
    assert all(rank["sharded"] for rank in ranks[1][f"as it is {name}"]["counted"])


@pytest.mark.parametrize(("case", "name"), KEEPING)
def test_processes_look_at_every_image_once_and_compute_the_reference_once_between_them(
    ranks: tuple[Path, dict[str, Any]], case: str, name: str
) -> None:
    alone, several = (ranks[1][f"{case} {it}"]["counted"] for it in ("alone", name))
    for what in ("images", "reference"):
        assert sum(rank[what] for rank in several) == alone[0][what]
        assert max(rank[what] for rank in several) < alone[0][what]


def test_the_last_step_is_one_that_leaves_a_process_without_a_pair(ranks: tuple[Path, dict[str, Any]]) -> None:
    record = read_file(ranks[0] / "as it is four processes", TrainingRecord)
    assert record
    assert record.history[-1]["pairs"] < 4


@pytest.mark.parametrize("name", [pytest.param(name, marks=needs(name)) for name in KILLED])
def test_a_process_that_is_killed_ends_the_others_and_the_next_try_goes_on(
    ranks: tuple[Path, dict[str, Any]], name: str
) -> None:
    folder, rows = ranks
    row, dead = rows[f"killed {name}"], KILLED[name]["kill"][0]
    assert row["codes"][dead] == -signal.SIGKILL
    assert row["codes"][1 - dead] == 1, "the other has to fail, not to wait"
    assert row["again"]["codes"] == [0, 0], row["stderr"]
    assert all(rank["images"] == rank["reference"] == 0 for rank in row["again"]["counted"])
    assert apart(folder, "as it is alone", f"killed {name}") < 1e-5
    once, twice = (read_file(folder / it, TrainingRecord) for it in ("as it is alone", f"killed {name}"))
    assert once
    assert twice
    assert [step["step"] for step in twice.history] == [step["step"] for step in once.history]
