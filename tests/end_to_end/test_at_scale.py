"""The measurement at scale runs, at a size that takes seconds; what it finds is not looked at, save what is counted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import ROOT, environment
from forks import Forks

SCRIPT = ROOT / "scripts" / "at_scale.py"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_command_is_measured_at_each_size(forks: Forks, tmp_path: Path) -> None:
    words = ["--json", "--cases", "50,100", "--folder", str(tmp_path / "scale")]
    done = forks.run([str(SCRIPT), *words], tmp_path, environment())
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    assert list(found) == ["50", "100"]
    for rows in found.values():
        assert [one["step"] for one in rows] == ["check", "run", "run again", "export", "report", "evaluate"]
        assert not any(one["status"] for one in rows)
        assert all(one["peak_mb"] > 1 and one["most_files"] for one in rows)
    assert not (tmp_path / "scale" / "50").exists()
