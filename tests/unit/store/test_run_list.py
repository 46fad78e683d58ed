"""The runs below a folder, as `mmedpo runs` lists them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from run_folder import run_record, write_rounds, write_run

from mmedpo import DataError
from mmedpo.cli.measure_commands import runs
from mmedpo.events import StageCount
from mmedpo.store.run_files.format import write_file
from mmedpo.store.run_files.record import RunRecord, StageSummary
from mmedpo.store.run_folder import lock_folder
from mmedpo.store.run_list import list_runs

FLOW = (StageSummary(stage="read", counts=()), StageSummary(stage="disprefer", counts=(StageCount("pairs", 1),)))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_run(tmp_path / "a/one")
    for state in ("stopped", "waiting", "running"):
        write_file(tmp_path / state, run_record({}, state=state, flow=FLOW))
    write_file(tmp_path / "pairs", run_record({}, until="weigh", flow=FLOW))
    write_rounds(tmp_path / "rounds", 3, 2)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/run.json").write_text("{")
    (tmp_path / "newer").mkdir()
    (tmp_path / "newer/run.json").write_text('{"format": 99}')
    write_file(tmp_path / "a/one/earlier/pairs-1", run_record({}))
    (tmp_path / "no run").mkdir()
    return tmp_path


def test_each_run_is_listed_once_with_how_far_it_is(root: Path) -> None:
    states = {str(run.folder.relative_to(root)): run.state for run in list_runs(root)}
    broken, newer = states.pop("broken"), states.pop("newer")
    assert states == {
        "a/one": "finished",
        "stopped": "stopped after disprefer",
        "waiting": "waits for a batch",
        "running": "killed after disprefer",
        "pairs": "finished up to weigh",
        "rounds": "round 2 of 3: finished",
    }
    assert broken.startswith("broken: run.json: is not JSON")
    assert newer == "broken: run.json: is of format 99, and this version reads up to 1; update mmedpo"


def test_one_that_works_just_now_is_running(root: Path) -> None:
    with lock_folder(root / "running"):
        states = {run.folder.name: run.state for run in list_runs(root)}
    assert states["running"] == "running after disprefer"
    assert states["stopped"] == "stopped after disprefer"


def test_the_list_has_measures_and_sizes_in_words_and_for_scripts(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs(root / "a")
    head, line = capsys.readouterr().out.splitlines()
    assert head.split() == ["run", "recipe", "state", "when", "size", "measures"]
    assert line.startswith("one  recipe.yaml  finished  20")
    assert line.endswith("sure 0.500 -> 0.700, unsure 0.400 -> 0.500")
    runs(root / "a", json=True)
    (one,) = json.loads(capsys.readouterr().out)
    assert one["after"]["med-vqa.sure"] == 0.7
    assert one["size"] > (root / "a/one" / RunRecord.file).stat().st_size
    with pytest.raises(DataError, match="there is no such folder"):
        list_runs(root / "none")
