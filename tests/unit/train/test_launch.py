"""What is said when a process of several fails: which one, how, with the exit code that it would have had alone."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mmedpo.errors import DataError, MmedpoError, RecipeError, RunInterrupt
from mmedpo.runtime.processes import LAUNCHED, notice_lost_process, tell_launcher
from mmedpo.train.ranks.launch import explain_failure
from mmedpo.train.ranks.launcher import find_cause


def failure(code: int, at: int, told: Any = "", file: str = "<N/A>") -> Any:
    return SimpleNamespace(exitcode=code, timestamp=at, message=told, error_file=file)


def test_the_process_that_failed_first_is_named_and_not_those_that_were_stopped_for_it() -> None:
    found = find_cause({0: failure(143, 4), 1: failure(-9, 5), 2: failure(130, 4)})
    assert found == {"process": 1, "code": -9, "told": ""}


def test_what_a_process_said_last_is_handed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "error.json"
    monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", str(place))
    assert not tell_launcher("nobody of ours started this one, so it speaks for itself")
    monkeypatch.setenv(LAUNCHED, "1")
    assert tell_launcher("no pair is left")
    from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

    found = find_cause({3: ProcessFailure(local_rank=3, pid=1, exitcode=4, error_file=str(place))})
    assert found == {"process": 3, "code": 4, "told": "no pair is left"}


@pytest.mark.parametrize(
    ("code", "told", "kind", "said"),
    [
        (4, "no pair is left", DataError, "training process 1: no pair is left"),
        (2, "out of memory", RecipeError, "training process 1: out of memory"),
        (1, "", MmedpoError, "training process 1 ended with code 1; its own lines are above. The others were stopped."),
        (-11, "", MmedpoError, "training process 1 was ended by SIGSEGV. The others were stopped."),
    ],
)
def test_a_failure_is_the_error_that_it_would_be_in_one_process(code: int, told: str, kind: Any, said: str) -> None:
    error = explain_failure(1, code, told)
    assert type(error) is kind
    assert str(error).startswith(said)


def test_a_process_that_loses_another_says_so_and_any_other_error_stays_what_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(RunInterrupt, match="run the same command to go on"), notice_lost_process():
        raise RuntimeError("[pair.cc:537] Read error [127.0.0.1]:3: Connection reset by peer")
    with pytest.raises(RuntimeError, match="a bug"), notice_lost_process():
        raise RuntimeError("a bug")
