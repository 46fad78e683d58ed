"""Workers on Ray give what the run's own process gives, whatever dies or fails, and leave nothing behind."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil
import pytest
from conftest import ROOT, environment
from forks import Forks
from ray_cluster import RayCluster

from mmedpo.runtime.workers.crew import AHEAD
from mmedpo.testing import fake_package

pytestmark = [pytest.mark.slow, pytest.mark.skipif(find_spec("ray") is None, reason="the package ray is not here")]

WHOLE = """
output: runs/x
data: {use: phantom, split: train, images: 3, restricted: true}
backbone: {use: phantom}
localize: [{use: annotated}, {use: attention}]
disprefer: [{use: self-hallucination, samples: 2}, {use: lesion-noise}]
score: [{use: med-llm-vote}, {use: detector-confidence}]
train: {epochs: 1, learning_rate: 1e-3, batch_size: 8, lora: {r: 4, alpha: 8}}
evaluate:
  data: {use: phantom, split: test, images: 2}
  measure: [{use: med-vqa}]
  probe: [{use: mirror}]
  attention: 3
  max_new_tokens: 12
"""
SMALL = """
output: runs/x
data: {use: phantom, split: train, images: 4}
backbone: {use: phantom}
disprefer: [{use: moody-answer}]
score: [{use: moody-score}]
"""
FILES = ("pairs.jsonl", "answers.jsonl", "measures.json", "attention.jsonl", "adapter/adapter_model.safetensors")
CASE = "phantom-train-00001-q3"  # the second of the fourth slice
SLICE = 3
GIVEN = 2 * AHEAD * SLICE  # cases that two workers have at a time
LOST = r"mmedpo: engine: worker \d \(process \d+ of \S+\) is lost: its process has ended; its slices go to another"
STOPPED = "mmedpo: stopped; what is finished is kept. Run the same command to go on."


@dataclass
class Run:
    """A folder with a recipe; commands that carry it out there."""

    folder: Path
    environment: dict[str, str]
    engine: str = ""  # an override with which it joins a cluster

    @property
    def line(self) -> list[str]:
        return ["-m", "mmedpo", "run", "recipe.yaml"]

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start it afresh: what Ray starts with this Python must be no fork."""
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        line = [sys.executable, *self.line, *words]
        return subprocess.Popen(
            line, cwd=self.folder, env=self.environment, start_new_session=True, preexec_fn=hear_ctrl_c, **pipes
        )

    def carry_out_here(self, forks: Forks, *words: str) -> tuple[str, str]:
        """Carry it out in a fork, where no Ray is to be started; return what it prints."""
        done = forks.run([*self.line, *words], self.folder, self.environment)
        assert done.returncode == 0, done.stderr
        return done.stdout, done.stderr

    def fail(self, forks: Forks, code: int, *words: str) -> str:
        """Carry it out as far as it goes; return what it says of an error with that exit code."""
        done = forks.run([*self.line, *words], self.folder, self.environment)
        assert done.returncode == code, done.stderr
        return done.stderr

    def noted(self, what: str = "disprefer") -> list[str]:
        """Return the items that were touched, each as often as it was."""
        return [item for touched, item, _ in self._notes() if touched == what]

    def processes_noted(self) -> set[int]:
        """Return which processes touched an item."""
        return {int(process) for _, _, process in self._notes()}

    def _notes(self) -> list[list[str]]:
        notes = self.folder / "notes.txt"
        lines = notes.read_text().split("\n")[:-1] if notes.exists() else []
        return [line.split() for line in lines]

    def left_behind(self) -> list[Path]:
        """Return the files that should have gone with the run."""
        temporary, home = Path(self.environment["TMPDIR"]), Path(self.environment["HOME"])
        return [*temporary.glob("mmedpo-*"), *home.iterdir(), *self.markers()]

    def markers(self) -> list[Path]:
        """Return the files by which workers know that they see the run's own."""
        return list((self.folder / "runs").rglob(".workers-*"))

    def pairs(self) -> bytes:
        return (self.folder / "runs/x/pairs.jsonl").read_bytes()


def hear_ctrl_c() -> None:
    """Have what is started hear of it where the tests run in the background, as they may in a shell's script."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder in which parts with moods look installed."""
    points = {"mmedpo.dispreferences": {"moody-answer": "parts"}, "mmedpo.scorers": {"moody-score": "parts"}}
    source = (ROOT / "tests/support/worker_parts.py").read_text()
    return fake_package(tmp_path_factory.mktemp("site"), "worker-parts", {"parts": source}, points)


@pytest.fixture(scope="module")
def make_run(tmp_path_factory: pytest.TempPathFactory, site: Path) -> Iterator[Callable[..., Run]]:
    """Return what makes a folder for a run; a home and a folder for what is temporary are in it, or beside it."""
    with ExitStack() as stack:

        def make(recipe: str = SMALL) -> Run:
            folder = tmp_path_factory.mktemp("run")
            (folder / "recipe.yaml").write_text(recipe.lstrip())
            (folder / "home").mkdir()
            short = Path(stack.enter_context(TemporaryDirectory(prefix="w-", dir="/tmp")))  # sockets have short names
            own = {"HOME": str(folder / "home"), "MPLCONFIGDIR": str(folder), "TMPDIR": str(short)}
            return Run(folder, {**environment(site), **own})

        yield make


@pytest.fixture
def small(make_run: Callable[..., Run]) -> Run:
    """Return a run of the small recipe."""
    return make_run()


@pytest.fixture(scope="module")
def expected(make_run: Callable[..., Run], forks: Forks) -> bytes:
    """Return the pairs of the small recipe as the run's own process makes them."""
    run = make_run()
    run.carry_out_here(forks)
    return run.pairs()


@pytest.fixture(scope="module")
def whole(make_run: Callable[..., Run], forks: Forks) -> tuple[Run, list[str]]:
    """Return the whole recipe carried out by the run's own process, and what it said."""
    run = make_run(WHOLE)
    return run, lines(*run.carry_out_here(forks))


def lines(out: str, err: str) -> list[str]:
    """Return what was said, without times and how far it was."""
    said = [re.sub(r" \(\d.*? s\)$", "", line) for line in (out + err).splitlines()]
    return [line for line in said if not re.search(r" (left|so far)$|^trained: |^Failed to load ", line)]


# A cluster of the run's own, which starts and ends with it


def test_workers_give_the_files_of_one_process_and_leave_no_other(
    whole: tuple[Run, list[str]], make_run: Callable[..., Run], forks: Forks
) -> None:
    run = make_run(WHOLE)
    run.carry_out_here(forks, "--until", "localize")  # begun with the other engine
    process = run.start("engine={use: ray, workers: 2}")
    doors = watch_doors(process)
    out, err = process.communicate()
    assert process.returncode == 0, err
    require_same(run, lines(out, err), *whole)
    assert doors == {"127.0.0.1"}
    assert open_to_others(run.folder / "runs") == []
    assert run.left_behind() == []


def require_same(run: Run, said: list[str], local: Run, said_locally: list[str]) -> None:
    for name in FILES:
        assert (run.folder / "runs/x" / name).read_bytes() == (local.folder / "runs/x" / name).read_bytes(), name
    assert said == said_locally


def watch_doors(process: subprocess.Popen[str]) -> set[str]:
    """Return where the processes of a run listened."""
    doors: set[str] = set()
    while process.poll() is None:
        for one in children_of(process):
            with suppress(psutil.Error):
                listening = [door for door in one.net_connections("inet") if door.status == psutil.CONN_LISTEN]
                doors |= {door.laddr.ip.removeprefix("::ffff:") for door in listening}
        time.sleep(0.5)
    return doors


def open_to_others(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.stat().st_mode & 0o077 and not path.is_symlink()]


def children_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(process.pid).children(recursive=True)
    return []


def send_all(process: subprocess.Popen[str], number: int) -> None:
    os.killpg(process.pid, number)  # as a terminal does


STOPS = {
    "ctrl-c": (lambda process: send_all(process, signal.SIGINT), 130),
    "sigterm": (lambda process: process.terminate(), 143),
    "sigkill": (lambda process: process.kill(), -9),
}


@pytest.mark.parametrize("stop", STOPS)
def test_a_stop_leaves_nothing_running_and_the_run_goes_on_with_the_other_engine(
    stop: str, small: Run, expected: bytes, forks: Forks
) -> None:
    send, code = STOPS[stop]
    process = small.start("engine={use: ray, workers: 2}", "disprefer.0.pace=0.2")
    while len(small.noted()) < GIVEN + 2:
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    others = children_of(process)
    send(process)
    _, err = process.communicate()
    assert process.returncode == code, err
    if stop == "sigkill":
        end_helpers(others)
    _, alive = psutil.wait_procs(others, timeout=60)
    assert alive == []
    if stop != "sigkill":
        assert err.splitlines()[-1] == STOPPED
        assert "Traceback" not in err
        assert small.left_behind() == []
    small.carry_out_here(forks, "disprefer.0.pace=0.2")
    assert small.pairs() == expected
    again = [item for item, count in Counter(small.noted()).items() if count > 1]
    assert len(again) <= GIVEN, "only slices that workers had may be done twice"
    assert small.markers() == []


def end_helpers(processes: list[psutil.Process]) -> None:
    """End two helpers of Ray's, which look for the others for a minute after these were killed."""
    for process in processes:
        with suppress(psutil.Error):
            if "Agent" in process.name():
                process.kill()


# A cluster that runs already


@pytest.fixture(scope="module")
def cluster(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayCluster]:
    """Return a cluster with two processors."""
    made = RayCluster(environment(site), tmp_path_factory.mktemp("home"))
    yield made
    made.close()


def test_a_worker_of_a_cluster_gives_the_files_of_one_process(
    whole: tuple[Run, list[str]], make_run: Callable[..., Run], cluster: RayCluster, forks: Forks
) -> None:
    run = make_run(WHOLE)
    run.environment |= cluster.environment
    said = run.carry_out_here(forks, f"engine={{use: ray, workers: 1, address: '{cluster.address}'}}")
    require_same(run, lines(*said), *whole)
    assert open_to_others(run.folder / "runs") == []


@pytest.fixture
def joined(small: Run, cluster: RayCluster) -> Run:
    """Return a run of the small recipe that may join the cluster."""
    small.environment |= cluster.environment
    small.engine = f"engine={{use: ray, workers: 2, address: '{cluster.address}'}}"
    return small


def test_a_killed_run_goes_on_with_workers_and_a_worker_that_is_killed_costs_a_line(
    joined: Run, expected: bytes, forks: Forks
) -> None:
    odd = {CASE: "die", "phantom-train-00002-q0": "tell", "phantom-train-00003-q5": "tell"}
    words = [f"disprefer.0.moods={json.dumps(odd)}", "disprefer.0.deaths=2"]
    died = forks.run([*joined.line, *words], joined.folder, joined.environment)
    assert died.returncode == -signal.SIGKILL
    out, err = joined.carry_out_here(forks, joined.engine, *words)
    assert joined.pairs() == expected
    assert len(re.findall(LOST, err)) == 1
    assert err.count("this case is odd") == 1, "a note is printed once, whoever writes it"
    assert "chatter" not in out + err
    again = {item: count for item, count in Counter(joined.noted()).items() if count > 1}
    assert again == {"phantom-train-00001-q2": 3, CASE: 3}
    assert set(Counter(joined.noted("score")).values()) == {1}


def test_a_slice_that_kills_every_worker_is_an_error_that_names_part_and_slice(joined: Run, forks: Forks) -> None:
    words = [joined.engine, f"disprefer.0.moods={{{CASE}: die}}", "disprefer.0.deaths=99"]
    err = joined.fail(forks, 3, *words)
    told = "dispreference 'moody-answer' of worker-parts 1.0: 3 workers died over the slice that begins with "
    assert f"{told}'phantom-train-00001-q2': its process has ended" in err.splitlines()[-1]
    assert len(re.findall(LOST, err)) == 2
    assert joined.noted().count(CASE) == 3


def test_a_part_that_fails_on_a_worker_is_blamed_as_it_is_locally(joined: Run, site: Path, forks: Forks) -> None:
    words = [f"disprefer.0.moods={{{CASE}: raise}}"]
    local, err = (joined.fail(forks, 3, *engine, *words) for engine in ([], [joined.engine]))
    assert err.splitlines()[-1] == local.splitlines()[-1]
    assert "'moody-answer' of worker-parts 1.0 failed: ZeroDivisionError: this part cannot divide" in err
    assert f'File "{site / "parts.py"}", line ' in err


def test_an_error_of_a_part_keeps_its_exit_code(joined: Run, forks: Forks) -> None:
    err = joined.fail(forks, 4, joined.engine, f"disprefer.0.moods={{{CASE}: data}}")
    assert err.splitlines()[-1] == "mmedpo: this case is broken"
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("workers: 9", "9 workers with 1 CPU each: there is no room, the cluster has 2 CPUs and 0 GPUs; at most 2 fit"),
        ("workers: 1, gpus: 1", "a worker with 1 CPU and 1 GPU: there is no room, the cluster has 2 CPUs and 0 GPUs"),
        ("cpus: 3", "a worker with 3 CPUs: there is no room, the cluster has 2 CPUs and 0 GPUs; lower engine.cpus"),
    ],
)
def test_a_request_that_can_never_be_met_says_what_would_fit(
    joined: Run, cluster: RayCluster, asked: str, told: str, forks: Forks
) -> None:
    err = joined.fail(forks, 2, f"engine={{use: ray, address: '{cluster.address}', {asked}}}")
    assert told in err.splitlines()[-1]


def test_a_node_that_leaves_costs_a_line_and_nothing_else(
    joined: Run, cluster: RayCluster, expected: bytes, forks: Forks
) -> None:
    joined.environment["RAY_ADDRESS"] = cluster.address
    node = cluster.add_node()
    words = ["engine={use: ray, address: auto, workers: 3}", "disprefer.0.pace=0.3"]
    fork = forks.start([*joined.line, *words], joined.folder, joined.environment)
    try:
        while not {one.pid for one in node.processes()} & joined.processes_noted():
            assert fork.poll() is None, fork.communicate()
            time.sleep(0.05)
    finally:
        node.kill()
    _, err = fork.communicate()
    assert fork.wait() == 0, err
    assert joined.pairs() == expected
    assert len(re.findall(r"mmedpo: engine: worker \d .* is lost: its .*; its slices go to another", err)) == 1
    again = [item for item, count in Counter(joined.noted()).items() if count > 1]
    assert len(again) <= SLICE


# No cluster at all


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("127.0.0.1:9", "nobody answers there (Connection refused)"),
        ("no-such-host.invalid:6379", "nobody answers there ("),
    ],
)
def test_an_address_where_nobody_is_is_told_in_a_line(small: Run, address: str, told: str, forks: Forks) -> None:
    err = small.fail(forks, 2, f"engine={{use: ray, address: '{address}'}}")
    assert err.splitlines()[-1].startswith(f"mmedpo: engine.address: {address}: {told}")
