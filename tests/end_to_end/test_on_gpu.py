"""The prepared command for a machine with a GPU: here every step of it runs on the CPU, on a tiny model."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from forks import Forks
from mmedpo_plugins.phantom.findings import LABELS

from mmedpo.recipe.document.yaml import read_yaml

HARD = ROOT / "examples" / "studies" / "hard.yaml"
SCRIPT = ROOT / "scripts" / "on_gpu"
STEPS = [
    "install", "card", "quickstart", "slake", "slake, flex attention", "gradients in float32", "vqa-rad", "report",
    "answers", "adapter", "qlora", "from disk",
]  # fmt: skip


def on_gpu(
    folder: Path, forks: Forks, *words: str, script: str = "on_gpu"
) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    """Run the script as on the machine, each step in a process of its own, and return its JSON as well."""
    own = ["--wheels", str(folder / "none")]  # those in the tree, if any, are for the Python of another machine
    line = ["bash", str(ROOT / "scripts" / f"{script}.sh"), str(folder), *own, *words]
    env = {**os.environ, "PYTHON": str(forks.python), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(line, capture_output=True, text=True, env=env, cwd=folder.parent)
    return done, json.loads((folder / f"{script}.json").read_text())


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_every_step_runs_on_a_cpu_and_leaves_its_figures_in_json_log_and_table(tmp_path: Path, forks: Forks) -> None:
    done, result = on_gpu(tmp_path / "out", forks, "--device", "cpu", "--size", "tiny", "--minutes", "40")
    assert done.returncode == 0, done.stdout[-3000:] + (tmp_path / "out" / "on_gpu.log").read_text()[-3000:]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["on_gpu.json", "on_gpu.log"]
    found = {step["name"]: step["found"] for step in result["steps"]}
    assert (list(found), result["failed"]) == (STEPS, [])
    assert found["card"]["versions"]["torch"]
    assert set(found["quickstart"]["runs"]) == {"cpu float32", "cpu bfloat16"}
    slake = found["slake"]["shapes"]["slake"]
    assert set(slake["contenders"]) == {"tree", "plain", "trl", "trl-equal", "pairs"}
    assert all(row["pairs_per_s"] > 0 and row["peak_gb"] > 0 for row in slake["contenders"].values())
    assert slake["gradients"]["tree to plain"]["whole"] < 0.05
    exact = found["gradients in float32"]["shapes"]["slake"]
    assert exact["gradients"]["tree to plain"]["worst"] < 1e-5
    assert exact["contenders"]["flex"]["forward_alone"]  # torch has no backward pass of it on a CPU
    assert all(set(found[name]["shapes"]) == {name} for name in ("vqa-rad", "report"))
    assert all(found["answers"][name]["tree_over_generate"] > 0 for name in ("vqa", "evaluate", "report"))
    assert found["adapter"]["steps"] == found["from disk"]["train"]["steps"] == 1
    assert all(found["qlora"][way]["weights_gb"] > 0 for way in ("checkpointing", "4bit", "8bit", "adamw_8bit"))
    table = done.stdout.split("\n\n")[1]
    assert all(f"\n{name}" in f"\n{table}" for name in STEPS)


@pytest.mark.slow
def test_the_study_ends_with_contrasts_of_a_base_that_it_made(tmp_path: Path, forks: Forks) -> None:
    tiny = ["--device", "cpu", "--size", "tiny", "--minutes", "40", "--work", str(tmp_path / "work")]
    done, result = on_gpu(tmp_path / "out", forks, *tiny, script="study_on_gpu")
    assert done.returncode == 0, done.stdout[-3000:] + (tmp_path / "out" / "study_on_gpu.log").read_text()[-3000:]
    found = {step["name"]: step["found"] for step in result["steps"]}
    assert (list(found), result["failed"]) == (["install", "card", "base", "runs", "compare"], [])
    assert found["base"]["auc_of_tower"].keys() == {*LABELS}
    assert {row["method"] for row in found["compare"]["table"]} == {"start", *read_yaml(HARD).values["variants"]}
    contrasts = {(row["method"], row["against"]) for row in found["compare"]["contrasts"]}
    assert contrasts == {("best", "sft"), ("best", "best-uniform"), ("best", "best-shuffled")}
    assert "best - sft, closed_accuracy: " in done.stdout
    assert (tmp_path / "work/results.json").exists()


@pytest.mark.slow
def test_a_step_that_fails_names_itself_and_the_next_is_tried(tmp_path: Path, forks: Forks) -> None:
    done, result = on_gpu(tmp_path / "out", forks, "--device", "cuda:99", "--size", "tiny")
    assert done.returncode == 1
    assert {"card", "quickstart"} <= set(result["failed"])
    by_name = {step["name"]: step for step in result["steps"]}
    assert list(by_name) == STEPS
    assert all(step["why"] for step in by_name.values() if step["status"] != "done")


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(SCRIPT))
    import running

    return running


def program(folder: Path, text: str) -> str:
    """Write a step's program; it finds the file for its figures last on its command line."""
    path = folder / "step.py"
    path.write_text(f"import pathlib, subprocess, sys, time\nout = pathlib.Path(sys.argv[-1])\n{text}\n")
    return str(path)


@pytest.mark.parametrize(
    ("text", "status", "why", "found"),
    [
        ("out.write_text('{\"a\": 1}')", "done", "", {"a": 1}),
        ("out.write_text('{\"a\": 1}'); raise ValueError('no card')", "failed", "ValueError: no card", {"a": 1}),
        ("sys.exit(3)", "failed", "exit status 3", {}),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "failed", "exit status -11", {}),
        ("out.write_text('{\"a\": 1}'); time.sleep(60)", "out of time", "stopped after 6 s", {"a": 1}),
        ("subprocess.Popen(['sleep', '60']).wait()", "out of time", "stopped after 6 s", {}),
    ],
)  # fmt: skip
@pytest.mark.slow
def test_a_step_leaves_what_it_found_however_it_ends(
    tmp_path: Path, running: Any, text: str, status: str, why: str, found: dict[str, int]
) -> None:
    step = running.Step("one", program(tmp_path, text), [], 6)
    with (tmp_path / "log").open("w") as log:
        done = running.run(step, 60.0, {}, log, tmp_path / "out.json")
    assert (done.status, dict(done.found)) == (status, found)
    assert why in done.why


def test_a_step_for_which_no_time_is_left_is_not_begun(tmp_path: Path, running: Any) -> None:
    step = running.Step("one", program(tmp_path, "out.write_text('{}')"), [], 6)
    with (tmp_path / "log").open("w") as log:
        done = running.run(step, running.LEAST - 1, {}, log, tmp_path / "out.json")
    assert (done.status, done.why) == ("not begun", "the time was up")
    assert not (tmp_path / "out.json").exists()


def test_what_the_machine_has_too_old_is_carried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SCRIPT))
    import wheels

    packages = {"datasets": {"requires_dist": ["tokenizers>=99", 'numpy<1 ; extra == "old"']}}
    there = {**wheels.machine(), "transformers": "5.5.4"}
    assert set(wheels.refused(there, packages)) == {"transformers", "tokenizers"}
