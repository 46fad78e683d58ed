"""Training in several processes gives the adapter of one."""

from __future__ import annotations

from collections.abc import Callable
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
from mmedpo.train.launch import build_command

Trained = tuple[dict[str, Any], TrainingRecord]  # the adapter's weights, what the training came to
RECIPE = ROOT / "examples" / "quickstart.yaml"
SMALL = [
    "data.images=8",
    "disprefer.0.samples=1",
    "train.epochs=1",
    "train.validation=0.2",
    "evaluate=null",
    "train.loss.kl=0.5",
]


@pytest.fixture
def train(mmedpo: Mmedpo, forks: Forks, tmp_path: Path) -> Callable[..., Trained]:
    """Return what trains in one process or more, and gives the adapter and what the training came to."""

    def train(name: str, *words: str, processes: int = 1) -> Trained:
        whole = processes == 1 or f"train.launch={{processes: {processes}}}" in words
        until = [] if whole else ["--until", "weigh"]
        done = mmedpo("run", RECIPE, *SMALL, f"output={name}", f"journal={name}.sqlite", *words, *until)
        assert done.returncode == 0, done.stderr
        if not whole:
            group = [forks.start(["-m", "mmedpo", "train", name], tmp_path, env) for env in of_a_group(processes)]
            for process in group:
                said = process.communicate()
                assert process.returncode == 0, said
        return trained(tmp_path / name)

    return train


def of_a_group(count: int) -> list[dict[str, str]]:
    """Return what a launcher puts into the environments of processes that are to work together."""
    with socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    return [environment() | shared | {"RANK": str(number), "LOCAL_RANK": str(number)} for number in range(count)]


def trained(folder: Path) -> Trained:
    record = read_run(folder).training
    assert record
    return load_file(folder / "adapter" / "adapter_model.safetensors"), record


@pytest.mark.slow
@pytest.mark.parametrize(
    ("packing", "batch", "how"), [("tree", 6, ["train.launch={processes: 2}"]), ("pairs", 4, [])], ids=["run", "train"]
)
def test_two_processes_give_the_adapter_of_one(
    train: Callable[..., Trained], tmp_path: Path, packing: str, batch: int, how: list[str]
) -> None:
    packed = f"train.packing={packing}"
    one, alone = train("one", packed, f"train.batch_size={batch}")
    two, both = train("two", packed, f"train.batch_size={batch}", *how, processes=2)
    apart = sum(float((one[name] - two[name]).square().sum()) for name in one) ** 0.5
    assert one.keys() == two.keys()
    assert apart < 1e-5 * sum(float(tensor.square().sum()) for tensor in one.values()) ** 0.5
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


CONFIGURATIONS = sorted((RECIPE.parent / "launch").glob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGURATIONS, ids=lambda path: path.stem)
def test_accelerate_reads_the_example_configurations(path: Path) -> None:
    from accelerate.commands.config.config_args import load_config_from_file

    loaded = load_config_from_file(str(path))
    assert loaded.num_processes == 4
    assert "Not tested" in path.read_text()
