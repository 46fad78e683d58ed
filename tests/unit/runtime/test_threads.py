"""How many threads compute: by the recipe, by the user, by the cores there are, by the model's size."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from mmedpo.runtime import thread_environment
from mmedpo.runtime.thread_environment import COUNT, OURS, WAITS, WISHES, prepare_threads, share_cores
from mmedpo.runtime.threads import SMALL, choose_threads, fit_threads

SEEN = """
import json, os
from mmedpo.runtime.thread_environment import WAITS, prepare_threads
{before}
prepare_threads()
import torch
print(json.dumps([torch.get_num_threads(), *(os.environ.get(name) for name in WAITS)]))
"""


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Let this process see so many cores, a quota and an environment of its own."""
    for name in (*WISHES, *WAITS, OURS, "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    before = torch.get_num_threads()

    def pretend(cores: int, quota: float | None = None, **env: str) -> None:
        monkeypatch.setattr(thread_environment, "count_cores", lambda: cores)
        monkeypatch.setattr(thread_environment, "read_quota", lambda: quota)
        for name, value in env.items():
            monkeypatch.setenv(name, value)

    yield pretend
    torch.set_num_threads(before)


def backbone(parameters: int) -> Any:
    model = torch.nn.ParameterList([torch.nn.Parameter(torch.empty(parameters))])
    return SimpleNamespace(model=model)


def started(before: str = "", **env: str) -> list[Any]:
    """Return what a new process has: torch's threads, then what stands in the environment about waiting."""
    clean = {name: value for name, value in os.environ.items() if name not in (*WISHES, *WAITS, OURS)}
    line = [sys.executable, "-c", SEEN.format(before=before)]
    done = subprocess.run(line, env=clean | env, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)  # type: ignore[no-any-return]


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="a process cannot be pinned here")
def test_a_process_that_is_pinned_to_a_core_computes_with_one_thread_that_sleeps_while_it_waits() -> None:
    pinned = "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})"
    assert started(pinned) == [1, "PASSIVE", "1000", None]


def test_what_the_users_environment_says_stays() -> None:
    assert started(OMP_NUM_THREADS="1", OMP_WAIT_POLICY="ACTIVE") == [1, "ACTIVE", None, None]


@pytest.mark.parametrize(
    ("cores", "quota", "number", "why"),
    [
        (8, None, 8, "cores"),
        (8, 20.0, 8, "cores"),
        (8, 0.5, 1, "quota"),
        (8, 0.05, 1, "quota"),
        (8, 1.2, 1, "quota"),
        (8, 1.5, 2, "quota"),
        (8, 3.0, 3, "quota"),
        (1, 0.5, 1, "cores"),
    ],
)
def test_there_are_no_more_threads_than_cores_or_than_the_quota_rounds_to(
    cores: int, quota: float | None, number: int, why: str, machine: Any
) -> None:
    machine(cores, quota)
    assert share_cores() == (number, why)


def test_processes_that_train_together_share_the_cores(machine: Any) -> None:
    machine(8, 6.0, LOCAL_WORLD_SIZE="4")
    assert share_cores() == (1, "processes")
    machine(8, LOCAL_WORLD_SIZE="3")
    assert share_cores() == (2, "processes")


def test_what_a_process_of_ours_hands_on_is_no_wish_of_the_users(machine: Any) -> None:
    machine(4)
    prepare_threads()
    assert os.environ[COUNT] == "4"
    machine(4, LOCAL_WORLD_SIZE="2")
    assert choose_threads("auto").number == 2
    assert os.environ[COUNT] == "2"


def test_the_users_number_is_kept_and_said(machine: Any) -> None:
    torch.set_num_threads(3)  # as torch does when it is imported
    machine(8, OMP_NUM_THREADS="3")
    with fit_threads("auto", backbone(10)) as chosen:
        assert (chosen.number, chosen.why) == (3, "environment")
        assert torch.get_num_threads() == 3


def test_the_recipe_has_the_last_word(machine: Any) -> None:
    machine(8, OMP_NUM_THREADS="3")
    with fit_threads(2, backbone(10)) as chosen:
        assert (chosen.number, chosen.why) == (2, "recipe")
        assert torch.get_num_threads() == 2


def test_a_small_model_computes_with_one_thread_and_the_next_one_with_all(machine: Any) -> None:
    machine(2)
    choose_threads("auto")
    with fit_threads("auto", backbone(SMALL - 1)) as chosen:
        assert (chosen.number, chosen.why) == (1, "small_model")
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2
    with fit_threads("auto", backbone(SMALL)) as chosen:
        assert (chosen.number, chosen.why) == (2, "cores")
        assert torch.get_num_threads() == 2


def test_a_backbone_without_a_model_leaves_the_threads_as_they_are(machine: Any) -> None:
    machine(2)
    with fit_threads("auto", SimpleNamespace()) as chosen:  # type: ignore[arg-type]
        assert (chosen.number, torch.get_num_threads()) == (2, 2)
