"""A command in a fork is what it would be with a Python of its own, and so is what it starts."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from conftest import environment
from forks import Forks

STARTING = "import subprocess, sys; raise SystemExit(subprocess.run([sys.executable, *{words!r}]).returncode + 1)"


@pytest.mark.parametrize(
    ("code", "ended"), [("raise SystemExit(3)", 3), ("1 / 0", 1), ("import os; os.kill(os.getpid(), 15)", -15)]
)
def test_a_command_ends_with_its_code_or_by_its_signal(forks: Forks, tmp_path: Path, code: str, ended: int) -> None:
    assert forks.run(["-c", code], tmp_path, environment()).returncode == ended
    assert subprocess.run([forks.python, "-c", code], capture_output=True).returncode == ended


def test_what_a_command_starts_with_its_own_python_has_imported_everything_too(forks: Forks, tmp_path: Path) -> None:
    words = ["-c", "import sys; print('torch' in sys.modules, sys.argv); sys.exit(4)", "a word"]
    done = forks.run(["-c", STARTING.format(words=words)], tmp_path, environment())
    assert (done.stdout, done.returncode) == ("True ['-c', 'a word']\n", 5)


def test_options_are_for_a_python_that_starts_anew(forks: Forks) -> None:
    done = subprocess.run([forks.python, "-I", "-c", "import sys; print('torch' in sys.modules)"], capture_output=True)
    assert done.stdout == b"False\n"


def test_who_is_killed_takes_the_command_along_and_what_it_started(forks: Forks, tmp_path: Path) -> None:
    sleeping = ["-c", "import os, pathlib, time; pathlib.Path('pid').write_text(str(os.getpid())); time.sleep(600)"]
    starter = subprocess.Popen([forks.python, "-c", STARTING.format(words=sleeping)], cwd=tmp_path)
    while not (text := (tmp_path / "pid").read_text() if (tmp_path / "pid").exists() else ""):
        assert starter.poll() is None
        time.sleep(0.01)
    starter.send_signal(signal.SIGKILL)
    starter.wait()
    while True:  # until nobody has that number; pytest's timeout ends what hangs
        try:
            os.kill(int(text), 0)
        except ProcessLookupError:
            break
        time.sleep(0.01)
