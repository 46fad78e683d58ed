"""What commands have in common: places as a shell would leave them, refused in one line where they cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from mmedpo.cli.main import app


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


def test_merging_a_run_takes_no_word_on_its_backbone(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["merge", str(tmp_path), str(tmp_path / "out"), "--backbone", "hf-vlm"])
    assert (done.exit_code, "a run's folder says which backbone it has" in done.stderr) == (2, True)
