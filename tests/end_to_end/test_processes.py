"""Training in several processes gives the adapter of one."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from socket import socket
from typing import Any

import pytest
from conftest import ROOT, Mmedpo, environment
from forks import Forks
from safetensors.torch import load_file

from mmedpo.recipe.train_options import LaunchOptions
from mmedpo.store.run_files.format import dump_model
from mmedpo.store.run_files.measures import TrainingRecord
from mmedpo.store.run_files.reader import read_run
from mmedpo.train.ranks.launch import build_command

Trained = tuple[dict[str, Any], TrainingRecord]  # the adapter's weights, what the training came to
RECIPE = ROOT / "examples" / "quickstart.yaml"
SMALL = [
    "data.images=8",
    "disprefer.0.samples=1",
    "train.epochs=1",
    "train.validation=0.2",
    "evaluate=null",
    "train.loss.1={use: kl, coefficient: 0.5}",
]


@pytest.fixture
def train(mmedpo: Mmedpo, forks: Forks, tmp_path: Path) -> Callable[..., Trained]:
    """Return what trains in one process or more, and gives the adapter and what the training came to."""

    def train(name: str, *words: str, processes: int = 1) -> Trained:
        whole = processes == 1 or any(word.startswith("train.launch=") for word in words)
        until = [] if whole else ["--until", "weigh"]
        done = mmedpo("run", RECIPE, *SMALL, f"output={name}", f"journal={name}.sqlite", *words, *until)
        assert done.returncode == 0, done.stderr
        if not whole:
            group = [forks.start(line, tmp_path, environment()) for line in of_two_machines(name)]
            for process in group:
                said = process.communicate()
                assert process.returncode == 0, said
        return trained(tmp_path / name)

    return train


def of_two_machines(folder: str) -> list[list[str]]:
    """Return the command line of each of two machines, as docs/guides/scale.md has it."""
    with socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    place = ["--master_addr", "127.0.0.1", "--master_port", port, "-m", "mmedpo", "train", folder]
    shape = ["-m", "torch.distributed.run", "--nnodes", "2", "--nproc_per_node", "1"]
    return [[*shape, "--node_rank", str(number), *place] for number in range(2)]


def trained(folder: Path) -> Trained:
    record = read_run(folder).training
    assert record
    return load_file(folder / "adapter" / "adapter_model.safetensors"), record


def apart(one: dict[str, Any], two: dict[str, Any]) -> float:
    """Return how far apart two adapters are, as the norm of the difference over the norm."""
    assert one.keys() == two.keys()
    difference = sum(float((one[name] - two[name]).square().sum()) for name in one)
    return (difference / sum(float(tensor.square().sum()) for tensor in one.values())) ** 0.5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("packing", "batch", "how"),
    [("tree", 6, ["train.launch={processes: 2}"]), ("pairs", 4, [])],
    ids=["run", "two machines"],
)
def test_two_processes_give_the_adapter_of_one(
    train: Callable[..., Trained], tmp_path: Path, packing: str, batch: int, how: list[str]
) -> None:
    packed = f"train.packing={packing}"
    one, alone = train("one", packed, f"train.batch_size={batch}")
    two, both = train("two", packed, f"train.batch_size={batch}", *how, processes=2)
    assert apart(one, two) < 1e-5
    assert alone.counts == both.counts
    assert [step["pairs"] for step in alone.history] == [step["pairs"] for step in both.history]
    assert alone.history[-1]["pairs"] % batch, "the last step must be one that the processes share unequally"
    for kind, values in alone.validation.items():
        assert dump_model(both.validation[kind]) == pytest.approx(dump_model(values), abs=1e-5)
    assert not (tmp_path / "two" / "checkpoints").exists()


@pytest.mark.slow
def test_a_run_in_several_processes_is_refused_and_says_what_to_launch(
    mmedpo: Mmedpo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    done = mmedpo("run", RECIPE, "output=run")
    assert done.returncode == 2
    assert "train.launch" in done.stderr
    assert "-m mmedpo train" in done.stderr


def test_what_is_launched_is_named_with_its_configuration() -> None:
    words = build_command(LaunchOptions(processes=4, config=Path("fsdp.yaml")), "cuda", Path("runs/a"))
    assert words[1:] == [
        "-m", "accelerate.commands.launch", "--config_file", "fsdp.yaml", "--num_processes", "4",
        "-m", "mmedpo", "train", "runs/a",
    ]  # fmt: skip
    assert "--nproc_per_node=gpu" in build_command(LaunchOptions(), "cuda", Path("runs/a"))


CONFIGURATIONS = sorted((RECIPE.parent / "launch").glob("*.yaml"))
STRATEGIES = ["ddp", "fsdp", "deepspeed"]
WAYS = [
    pytest.param(
        f"train.launch={{{launch}, processes: 2}}",
        id=launch.rpartition("/")[2],
        marks=pytest.mark.skipif("deepspeed" in launch and not find_spec("deepspeed"), reason="needs deepspeed"),
    )
    for launch in [*(f"strategy: {name}" for name in STRATEGIES), *(f"config: {path}" for path in CONFIGURATIONS)]
]


@pytest.mark.parametrize("path", CONFIGURATIONS, ids=lambda path: path.stem)
def test_accelerate_reads_the_example_configurations(path: Path) -> None:
    from accelerate.commands.config.config_args import load_config_from_file

    assert path.stem in STRATEGIES
    assert load_config_from_file(str(path)).num_processes == 4


@pytest.mark.slow
@pytest.mark.parametrize("launch", WAYS)
def test_every_strategy_and_every_example_configuration_gives_the_adapter_of_one_process(
    train: Callable[..., Trained], launch: str
) -> None:
    words = ["train.loss.1=null", "train.batch_size=6", "journal=all.sqlite"]
    one, alone = train("one", *words)
    two, both = train("two", *words, launch, processes=2)
    assert apart(one, two) < 1e-5
    assert alone.counts == both.counts


def of_rank(rank: int, folder: str) -> int:
    """Return the process that trains as one of several in a folder."""
    for place in Path("/proc").iterdir():
        with suppress(OSError):
            words = (place / "cmdline").read_bytes().split(b"\0")
            values = (place / "environ").read_bytes().split(b"\0")
            if {b"train", folder.encode()} <= set(words) and f"RANK={rank}".encode() in values:
                return int(place.name)
    raise ProcessLookupError(f"nobody trains in {folder} as number {rank}")


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_process_that_is_killed_is_one_line_and_the_same_command_goes_on(
    mmedpo: Mmedpo, forks: Forks, tmp_path: Path, rank: int
) -> None:
    long = ["train.epochs=10", "train.checkpoint_every=2", "train.launch={processes: 2}"]
    words = ["run", str(RECIPE), *SMALL, f"output=killed{rank}", "journal=killed.sqlite", *long]
    started = forks.start(["-m", "mmedpo", *words], tmp_path, environment())
    while not list(tmp_path.glob("killed?/checkpoints/checkpoint-*/complete")):
        assert started.poll() is None, started.communicate()
        time.sleep(0.1)
    os.kill(of_rank(rank, f"killed{rank}"), signal.SIGKILL)
    _, said = started.communicate()
    assert started.returncode == 1
    assert said.splitlines()[-1] == (
        f"mmedpo: training process {rank} was ended by SIGKILL; the system does so where memory runs out. "
        "The others were stopped. What is finished is kept: run the same command to go on."
    )
    assert "Traceback" not in said, said
    again = mmedpo(*words, "-v")
    assert again.returncode == 0, again.stderr
    assert "going on from" in again.stderr
