"""The command line on odd terminals, with odd paths, and with what it prints pasted back."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from conftest import Mmedpo, environment
from typer.testing import CliRunner

from mmedpo.cli.main import app
from mmedpo.recipe.loading import load_recipe
from mmedpo.recipe.overrides import put
from mmedpo.recipe.yaml import parse_yaml
from mmedpo.registry.discovery import PluginInfo, find_parts, load_part
from mmedpo.registry.facts import write_snippet
from mmedpo.registry.kinds import KINDS

BASE = """\
output: out
data: {use: phantom, images: 2}
backbone: {use: phantom}
disprefer: [{use: opposite-answer}, {use: lesion-noise}]
unrated: keep
"""
RECIPE = "output: out-é\ndata: {use: phantom, images: 1}\nbackbone: {use: phantom}\nobserve: []\n"


@pytest.mark.parametrize("part", [part for part in find_parts() if part.package == "mmedpo"], ids=str)
def test_check_takes_the_snippet_that_show_prints(part: PluginInfo, tmp_path: Path) -> None:
    if part.name == "radeval" and find_spec("radeval") is None:
        pytest.skip("radeval is not installed")
    shown = write_snippet(part.kind, load_part(part))
    tree = parse_yaml(BASE, "base")
    for key, value in parse_yaml(shown, "snippet").values.items():
        put(key, value, "snippet", tree)
    if part.kind is KINDS["reader"]:
        tree.values.pop("disprefer")  # it may read ready pairs
    if "checkpoint" in shown and part.kind is KINDS["localizer"]:
        tree.values["localize"][0]["checkpoint"] = str(tmp_path)  # one that is there
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(tree.values))
    load_recipe(path)


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


@pytest.mark.parametrize(
    "command",
    [
        ["ask", "file", "file", "Is it?"], ["train", "file"], ["score", "file"], ["merge", "file", "new"],
        ["report", "file"], ["compare", "file", "file"], ["export", "file", "--to", "trl", "--out", "new"],
    ],
    ids=lambda command: command[0],
)  # fmt: skip
def test_a_file_where_a_run_folder_is_wanted_is_one_line(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("x")
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 4, done.output
    assert len(done.stderr.splitlines()) == 1
    assert "file" in done.stderr


@pytest.mark.parametrize(
    "command",
    [
        ["report", "run", "--out", "folder"], ["report", "run", "--out", "file/page.html"], ["merge", "run", "file/x"],
        ["export", "run", "--to", "trl", "--out", "file/x"], ["convert", "run", "file/x"],
        ["import", "folder", "file/x.yaml"], ["import", "folder", "folder"],
        ["report", "$RUNS/a"], ["compare", "a,$RUNS/b", "c"], ["report", "a,~nobody-of-this-name/b"],
        ["check", "$HOME"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_a_place_that_cannot_be_made_or_that_no_shell_filled_in_is_one_line(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("x")
    Path("folder").mkdir()
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 2, done.output
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("mmedpo: command line: ")


def test_a_home_folder_is_filled_in_where_no_shell_does(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    done = CliRunner().invoke(app, ["compare", "~/a,~/b", "~/c"])
    assert done.exit_code == 4
    assert f"mmedpo: {tmp_path}" in done.stderr


def test_no_error_can_command_the_terminal(mmedpo: Mmedpo, tmp_path: Path) -> None:
    done = mmedpo("check", tmp_path / "\x1b[2J.yaml")
    assert done.returncode == 2
    assert "\x1b" not in done.stderr
    assert "\\x1b[2J.yaml: there is no such file" in done.stderr


def test_the_version_is_that_of_the_package(mmedpo: Mmedpo) -> None:
    from importlib.metadata import version

    import mmedpo as package

    assert mmedpo("--version").stdout == f"mmedpo {package.__version__}\n"
    assert version("mmedpo") == package.__version__
