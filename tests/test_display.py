"""What a run prints while it works."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from mmedpo.display import Plain
from mmedpo.events import StageFinished, StageStarted


def test_a_stage_took_as_long_as_all_its_parts(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    clock = iter([0.0, 1.0, 61.0, 62.5])
    monkeypatch.setattr("mmedpo.display.time", SimpleNamespace(monotonic=lambda: next(clock)))
    plain = Plain()
    plain.see(StageStarted("score: slow", 4))
    plain.see(StageStarted("score: quick", 4))
    plain.see(StageFinished("score", {"pairs": 8}))
    assert "score: 8 pairs (62.5 s)" in capsys.readouterr().err
