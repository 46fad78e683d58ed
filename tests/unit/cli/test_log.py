"""`-v` logs on the error output what is done, in this process and in those that it starts; without it, nothing is."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Mmedpo

from mmedpo.cli.log import show_log
from mmedpo.recipe.train_options import LaunchOptions
from mmedpo.train.ranks.launch import build_command

RECIPE = "output: runs/a\ndata: {use: phantom, images: 1}\nbackbone: {use: phantom}\n"
LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (INFO|DEBUG) mmedpo\.[\w.]+: ")


def levels(mmedpo: Mmedpo, folder: Path, *args: str) -> list[str]:
    """Run a command and return the levels of what it logged; every other line is one that is always there."""
    (folder / "recipe.yaml").write_text(RECIPE)
    done = mmedpo(*(folder / arg if arg == "recipe.yaml" else arg for arg in args), cwd=folder)
    assert done.returncode == 0, done.stderr
    found = [LINE.match(line) for line in done.stderr.splitlines()]
    assert [line for line, match in zip(done.stderr.splitlines(), found, strict=True) if not match] == [
        line for line in done.stderr.splitlines() if line.startswith(("read: ", "localize: "))
    ]
    return sorted({match[1] for match in found if match})


RUN = ["run", "recipe.yaml", "--until", "localize"]


@pytest.mark.parametrize(
    ("args", "logged"),
    [
        (RUN, []),
        ([*RUN, "-v"], ["INFO"]),
        (["-v", *RUN], ["INFO"]),
        (["--verbose", *RUN, "-vv"], ["DEBUG", "INFO"]),
        (["-vv", *RUN, "-v"], ["DEBUG", "INFO"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_the_error_output_has_what_v_asks_for(
    args: list[str], logged: list[str], mmedpo: Mmedpo, tmp_path: Path
) -> None:
    assert levels(mmedpo, tmp_path, *args) == logged


def test_a_log_ends_with_its_command(capsys: pytest.CaptureFixture[str]) -> None:
    with show_log(2):
        logging.getLogger("mmedpo.any").debug("within")
    logging.getLogger("mmedpo.any").error("after")
    assert [line.rpartition(": ")[2] for line in capsys.readouterr().err.splitlines()] == ["within"]


def test_a_logged_text_of_others_cannot_command_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with show_log(1):
        logging.getLogger("mmedpo.any").info("it says %s", "\x1b[2J")
    assert "it says \\x1b[2J\n" in capsys.readouterr().err


def test_as_a_library_mmedpo_sets_up_no_logging_and_prints_no_record() -> None:
    code = (
        "import logging, mmedpo; mmedpo.Case; logging.getLogger('mmedpo.any').error('unseen');"
        "assert not logging.root.handlers and not logging.getLogger('mmedpo').level"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(("verbosity", "flags"), [(0, []), (1, ["-v"]), (2, ["-vv"]), (5, ["-vv"])])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_several_processes_of_training_log_as_the_one_that_starts_them(
    device: str, verbosity: int, flags: list[str], tmp_path: Path
) -> None:
    with show_log(verbosity):
        job = build_command(LaunchOptions(processes=2), device, tmp_path)
    assert job[job.index("train") :] == ["train", str(tmp_path), *flags]


def test_a_process_of_several_says_which_it_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "3")
    with show_log(1):
        logging.getLogger("mmedpo.any").info("here")
    assert " INFO [3] mmedpo.any: here\n" in capsys.readouterr().err
