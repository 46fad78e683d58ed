"""The command line as a whole: its version, odd terminals, errors that quote others."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import pytest
from conftest import Mmedpo, environment
from typer.testing import CliRunner

import mmedpo as package
from mmedpo.cli.main import app

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


def test_no_library_fetches_kernels_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "kernels.py").write_text("def get_kernel(*names, **how): raise SystemExit('fetched')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "kernels", raising=False)
    assert find_spec("kernels") is not None
    assert CliRunner().invoke(app, ["plugins", "list"]).exit_code == 0
    assert find_spec("kernels") is None


def test_the_help_of_every_command_is_whole_on_a_narrow_terminal() -> None:
    for command in ["run", "plugins show", "plugins", "detector", ""]:
        done = CliRunner().invoke(app, [*command.split(), "-h"], terminal_width=60)
        shown, _, listed = done.stdout.partition("\nCommands:\n")
        assert done.exit_code == 0
        assert "-h, --help" in shown
        assert "..." not in listed
        assert all(len(line) <= 60 for line in listed.splitlines())
    assert "what it needs that is not here." in " ".join(listed.split())


def test_a_shell_completes_commands_and_the_names_of_parts() -> None:
    script = CliRunner().invoke(app, ["--show-completion", "bash"], prog_name="mmedpo")
    assert "complete -o default -F _mmedpo_completion mmedpo" in script.stdout
    asked = {"_MMEDPO_COMPLETE": "complete_bash", "COMP_CWORD": "3", "COMP_WORDS": "mmedpo plugins show lesi"}
    assert CliRunner().invoke(app, env=asked, prog_name="mmedpo").stdout.split() == ["lesion-noise"]
