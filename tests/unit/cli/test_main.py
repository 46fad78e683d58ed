"""The command line as a whole: its version, odd terminals, errors that quote others."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from conftest import Mmedpo, environment

import mmedpo as package

RECIPE = "output: out-é\ndata: {use: phantom, images: 1}\nbackbone: {use: phantom}\nobserve: []\n"


def test_the_version_is_that_of_the_package(mmedpo: Mmedpo) -> None:
    assert mmedpo("--version").stdout == f"mmedpo {package.__version__}\n"
    assert version("mmedpo") == package.__version__


@pytest.mark.parametrize("terminal", [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}])
@pytest.mark.parametrize("args", [["check", "récipe.yaml"], ["check", "récipe.yaml", "--json"], ["check", "é.yaml"]])
def test_a_terminal_of_ascii_alone_ends_no_command(args: list[str], terminal: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "récipe.yaml").write_text(RECIPE, encoding="utf-8")
    line = [sys.executable, "-m", "mmedpo", *args]
    done = subprocess.run(line, capture_output=True, cwd=tmp_path, env=environment() | terminal, check=False)
    assert done.returncode == (2 if "é.yaml" in args else 0), done.stderr
    assert b"Traceback" not in done.stderr
    if "--json" in args:
        assert json.loads(done.stdout)["output"] == "out-é"


def test_no_error_can_command_the_terminal(mmedpo: Mmedpo, tmp_path: Path) -> None:
    done = mmedpo("check", tmp_path / "\x1b[2J.yaml")
    assert done.returncode == 2
    assert "\x1b" not in done.stderr
    assert "\\x1b[2J.yaml: there is no such file" in done.stderr
