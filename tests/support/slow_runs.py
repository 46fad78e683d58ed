"""Runs of a recipe whose parts note what they do, by the command line, in processes that can be killed."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from conftest import ROOT, environment
from forks import Fork, Forks

from mmedpo.testing import fake_package


class SlowRuns:
    """Run a recipe in a folder of its own; `parts` are those of `slow_parts` that it names, by entry-point group."""

    def __init__(self, folder: Path, forks: Forks, recipe: str, parts: Mapping[str, str]) -> None:
        self.folder, self.forks, self.notes, self.site = folder, forks, folder / "notes.txt", folder / "site"
        self.site.mkdir(parents=True)
        source = (ROOT / "tests/support/slow_parts.py").read_text()
        points = {group: {name: "slow_parts"} for group, name in parts.items()}
        fake_package(self.site, "slow-parts", {"slow_parts": source}, points)
        (folder / "recipe.yaml").write_text(recipe.lstrip())

    def line(self, *changes: str) -> list[str]:
        return ["-m", "mmedpo", "run", "recipe.yaml", *changes]

    def settings(self, pace: float = 0.0) -> dict[str, str]:
        return {**environment(self.site), "NOTES": str(self.notes), "PACE": str(pace)}

    def start(self, *changes: str, pace: float = 0.0) -> Fork:
        return self.forks.start(self.line(*changes), self.folder, self.settings(pace))

    def run(self, *changes: str) -> tuple[str, str]:
        return self.finish(self.start(*changes))

    def finish(self, process: Fork) -> tuple[str, str]:
        out, err = process.communicate()
        assert process.returncode == 0, err
        return out, err

    def kill_when(self, reached: Callable[[], bool], pace: float = 0.02) -> None:
        process = self.start(pace=pace)
        while not reached():
            assert process.poll() is None, f"ended before it could be killed: {process.communicate()}"
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()

    def noted(self, what: str) -> list[str]:
        lines = self.notes.read_text().splitlines() if self.notes.exists() else []
        return [line for line in lines if line.partition(" ")[0] == what]
