"""Every benchmark runs, at a size that takes seconds; its figures mean nothing at that size and are not looked at."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, environment
from forks import Forks
from radlabels_triples import installed

BENCHMARKS = ROOT / "tests" / "benchmarks"
TINY = ["--json", "--size", "tiny"]
ON_GPU = {  # steps of scripts/on_gpu.sh, all of which test_on_gpu runs
    "training_speed", "answering", "adapter_cost", "opening", "training_memory",
}  # fmt: skip
SMALL = {  # benchmark -> its command lines
    "answering": [[*TINY, "--together", "--shapes", "disprefer,quickstart"]],
    "training_speed": [[*TINY, "--shapes", "slake-image", "--contenders", "tree,pairs,trl", "--together"]],
    "chat_throughput": [["--json", "--items", "8", "--rounds", "1", "--replayed", "50"]],
    "grouping": [["--json", "--seeds", "1", "--images", "3", "--films", "2"]],
    "labeller": [["--json", "--reports", "20"]],
    "ranks": [[*TINY, "--images", "2", "--pairs", "4", "--epochs", "1", "--rounds", "1", "--strategies", "ddp,fsdp"]],
    "noise_speed": [["--json", "--images", "40"]],
    "threads": [["--json", "--images", "2", "--films", "2", "--ways", "now", "--models", "4M", "--seconds", "0.1"]],
    "workers": [["--json", "--images", "1", "--slices", "2", "--ways", "1"]],
    "voters": [["--json", "--triples", "2", "--voters", "rules"]],
}
READS_REPORTS = {"labeller", "voters"}
STARTS_RAY = {"workers"}


def test_every_benchmark_is_run_here() -> None:
    assert {path.stem for path in BENCHMARKS.glob("*.py")} == set(SMALL) | ON_GPU


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(("name", "words"), [(name, words) for name, lines in SMALL.items() for words in lines])
def test_a_benchmark_prints_its_figures_as_json(name: str, words: list[str], forks: Forks, tmp_path: Path) -> None:
    if name in READS_REPORTS and not installed():
        pytest.skip("the labelled reports of radlabels are not installed")
    line = [str(BENCHMARKS / f"{name}.py"), *words]
    if name in STARTS_RAY:  # with this Python, which must be no fork
        pytest.importorskip("ray", reason="the package ray is not here")
        done = subprocess.run([sys.executable, *line], cwd=tmp_path, env=environment(), capture_output=True, text=True)
    else:
        done = forks.run(line, tmp_path, environment())
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout)


@pytest.mark.slow
def test_a_contender_that_fails_is_named_the_others_go_on_and_the_status_is_1(forks: Forks, tmp_path: Path) -> None:
    code = (
        "import sys; sys.argv[1:] = '--json --size tiny --shapes report --contenders plain,tree --together "
        "--no-scaling'.split(); from mmedpo.train.batches.pair_collator import PairCollator; "
        "PairCollator.make_batch = None; "
        "import training_speed; training_speed.main()"
    )
    done = forks.run(["-c", code], tmp_path, environment(BENCHMARKS))
    found = json.loads(done.stdout)["shapes"]["report"]["contenders"]
    assert done.returncode == 1
    assert {name: "TypeError" in row["failed"] for name, row in found.items()} == {"plain": True, "tree": True}
