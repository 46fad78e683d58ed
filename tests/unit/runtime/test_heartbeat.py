"""What a run prints while it works."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest

from mmedpo.events import Event, StageAdvanced, StageCount, StageFinished, StageStarted, TrainingLogged
from mmedpo.runtime.heartbeat import ProgressLines, format_duration


def test_a_stage_took_as_long_as_all_its_parts(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    clock = iter([0.0, 1.0, 61.0, 62.5, 62.5])
    monkeypatch.setattr("mmedpo.runtime.heartbeat.time", SimpleNamespace(monotonic=lambda: next(clock)))
    plain = ProgressLines()
    plain.see(StageStarted("score: slow", 4))
    plain.see(StageStarted("score: quick", 4))
    plain.see(StageFinished("score", (StageCount("pairs", 8),)))
    assert "score: 8 pairs (62.5 s)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("events", "told"),
    [
        ([], "starting: 0 s so far"),
        ([StageStarted("encode", 8)], "encode: 0 of 8, 0 s so far"),
        ([StageStarted("disprefer: one", 1_000, 400)], "disprefer: one: 400 of 1,000, 0 s so far"),
        ([StageStarted("encode", 8), StageAdvanced("encode", 2)], "encode: 2 of 8, about 0 s left"),
        ([StageStarted("train", 0)], "train: 0 s so far"),
        ([StageStarted("train", 0), TrainingLogged(3, 9, {})], "train: 3 of 9, about 0 s left"),
        ([StageFinished("read", (StageCount("cases", 8),))], "after read: 0 s so far"),
    ],
)
def test_a_line_says_what_is_known_while_no_event_comes(
    events: list[Event], told: str, capfd: pytest.CaptureFixture
) -> None:
    with ProgressLines(every=0.06).beating() as plain:
        for event in events:
            plain.see(event)
        said = ""
        while told not in said:
            time.sleep(0.02)
            said += capfd.readouterr().err
    assert told in said


def test_the_rest_is_reckoned_from_what_this_run_did_itself(capfd: pytest.CaptureFixture) -> None:
    plain = ProgressLines(every=0)
    plain.see(StageStarted("score", 100, 90))
    plain._began_at -= 60
    plain.see(StageAdvanced("score", 5))
    assert "score: 95 of 100, about 60 s left" in capfd.readouterr().err


@pytest.mark.parametrize(("seconds", "said"), [(9, "9 s"), (119, "119 s"), (600, "10 min"), (9000, "2.5 h")])
def test_a_time_is_said_in_a_unit_that_suits_it(seconds: float, said: str) -> None:
    assert format_duration(seconds) == said
