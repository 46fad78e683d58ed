"""A disk that is full or may not be written: one line with the path, nothing half written, the same command goes on."""

from __future__ import annotations

import errno
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from safetensors import SafetensorError

from mmedpo import DataError
from mmedpo.core.machine.disk import explain_disk_error, guard_writes
from mmedpo.core.stage import Stage
from mmedpo.errors import PluginError
from mmedpo.pipeline.run import run_recipe
from mmedpo.recipe.loading import load_recipe
from mmedpo.store.journal import Journal
from mmedpo.store.run_folder import (
    append_line,
    lock_folder,
    remove_leftovers,
    write_folder_whole,
    write_text,
    write_whole,
)
from mmedpo.testing import tiny_cases

Disk = Callable[[str], Path]


pytestmark = pytest.mark.slow  # whole runs


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """Mount a small disk of its own, and take it away again."""
    place = tmp_path / "disk"

    def mount(options: str) -> Path:
        again = os.path.ismount(place)
        place.mkdir(exist_ok=True)
        line = ["mount", "-t", "tmpfs", "-o", f"{'remount,' if again else ''}{options}", "tmpfs", str(place)]
        if subprocess.run(line, capture_output=True, check=False).returncode:
            pytest.skip("this user may not mount a small disk")
        return place

    yield mount
    while os.path.ismount(place):
        subprocess.run(["umount", "-l", str(place)], check=True)


def said(number: int) -> str:
    return os.strerror(number)


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), said(errno.ENOSPC)),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), said(errno.EDQUOT)),
        (OSError(errno.EFBIG, "File too large"), said(errno.EFBIG)),
        (OSError(errno.EROFS, "Read-only file system"), said(errno.EROFS)),
        (PermissionError(errno.EACCES, "Permission denied"), said(errno.EACCES)),
        (sqlite3.OperationalError("database or disk is full"), said(errno.ENOSPC)),
        (sqlite3.OperationalError("attempt to write a readonly database"), said(errno.EROFS)),
        (SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"), said(28)),
        (RuntimeError("[enforce fail at inline_container.cc:626] . unexpected pos 64 vs 0"), said(errno.ENOSPC)),
        (RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed"), said(errno.ENOSPC)),
    ],
)
def test_whoever_says_it_a_full_disk_is_one_line_with_the_path(error: Exception, why: str) -> None:
    told = r"^/runs/x/a: cannot be written \((.*)\); .* run the same command"
    with pytest.raises(DataError, match=told) as caught, guard_writes("/runs/x/a"):
        raise error
    assert why in str(caught.value)


@pytest.mark.parametrize(
    "error",
    [ValueError("no space left"), KeyError("disk is full"), FileNotFoundError(errno.ENOENT, "gone"), PluginError("")],
)
def test_another_error_is_left_as_it_is(error: Exception) -> None:
    assert explain_disk_error(error) is None
    with pytest.raises(type(error)), guard_writes("/runs/x/a"):
        raise error


def test_a_file_elsewhere_that_may_not_be_opened_is_not_taken_for_the_one_that_is_written() -> None:
    with pytest.raises(PermissionError), guard_writes("/runs/x"):
        raise PermissionError(errno.EACCES, "Permission denied", "/data/film.png")


def test_a_writer_that_fails_leaves_the_old_file_and_nothing_else(disk: Disk) -> None:
    place = disk("size=64k")
    write_text(place / "a.txt", "old")
    with pytest.raises(DataError, match=r"a\.txt: cannot be written \(No space left on device\)"):
        write_text(place / "a.txt", "new" * 100_000)
    with pytest.raises(DataError, match=r"out: cannot be written"), write_folder_whole(place / "out") as partial:
        (partial / "b.bin").write_bytes(b"x" * 100_000)
    with pytest.raises(DataError, match=r"lines\.jsonl: cannot be written"):
        append_many(place / "lines.jsonl")
    assert sorted(path.name for path in place.iterdir()) == ["a.txt", "lines.jsonl"]
    assert (place / "a.txt").read_text() == "old"
    assert (place / "lines.jsonl").read_bytes().endswith(b"\n")


def append_many(path: Path) -> None:
    for number in range(10_000):
        append_line(path, f"{number:05}" * 10)


def put_many(journal: Journal) -> None:
    for number in range(10_000):
        journal.put(str(number), os.urandom(200).hex())


def adopt_many(journal: Journal) -> None:
    for case in tiny_cases(12):
        journal.adopt(case.image)
    journal.settle()


def test_a_full_disk_under_the_journal_and_its_images_is_told_with_the_path(disk: Disk) -> None:
    place = disk("size=200k")
    journal = Journal(place / "journal.sqlite")
    with pytest.raises(DataError, match=r"journal\.sqlite(-.*)?: cannot be written"):
        put_many(journal)
    journal.close()
    filled = Journal(disk("size=4m") / "journal.sqlite")
    assert filled.get("0")
    room = os.statvfs(place)
    (place / "filling").write_bytes(b"x" * (room.f_bavail * room.f_frsize))
    with pytest.raises(DataError, match=r"journal-images.*: cannot be written"):
        adopt_many(filled)
    filled.close()
    assert list((place / "journal-images").glob("*/*")) == []


def test_a_place_that_may_only_be_read_is_told_with_its_path(disk: Disk) -> None:
    place = disk("size=1m")
    Journal(place / "journal.sqlite").close()
    (place / "run").mkdir()
    disk("ro")
    with pytest.raises(DataError, match=r"journal\.sqlite: cannot be written \(Read-only file system\)"):
        Journal(place / "journal.sqlite")
    with pytest.raises(DataError, match=r"run.*: cannot be written \(Read-only"), lock_folder(place / "run"):
        pass
    with pytest.raises(DataError, match=r"a: cannot be written \(Read-only"):
        write_whole(place / "run" / "a", lambda file: file.write(b""))


RECIPE = """
data: {use: phantom, split: train, images: 3, restricted: false}
backbone: {use: phantom}
disprefer: [{use: lesion-noise}, {use: opposite-answer}]
score: [{use: detector-confidence}, {use: med-llm-vote}]
train: {epochs: 1, batch_size: 4, lora: {r: 2, alpha: 4}, checkpoint_every: 1}
"""


@contextmanager
def noted(told: list[str]) -> Iterator[None]:
    try:
        yield
    except DataError as error:
        told.append(str(error))


def test_a_run_on_a_full_disk_stops_in_one_line_and_goes_on_when_there_is_room(disk: Disk, tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(f"output: runs/x\n{RECIPE}")
    told: list[str] = []
    for size in (4, 60, 110, 140, 200, 300, 450, 40_000):
        place = disk(f"size={size}k")
        where = [f"output={place / 'runs' / 'x'}", f"journal={tmp_path / 'journal.sqlite'}"]
        with noted(told):
            run_recipe(load_recipe(tmp_path / "recipe.yaml", where), lambda event: None)
        assert [path for path in place.rglob(".*") if path.name != ".lock"] == []
    assert all(re.fullmatch(rf"{place}\S*: cannot be written \(No space left on device\); .*", line) for line in told)
    assert len({line.partition(":")[0] for line in told}) > 3, told
    elsewhere = load_recipe(tmp_path / "recipe.yaml", [f"output={tmp_path / 'y'}"])
    whole = run_recipe(elsewhere, lambda event: None, until=Stage.TRAIN).folder
    for name in ("adapter/adapter_model.safetensors", "training.json"):
        assert (place / "runs" / "x" / name).exists()
    ours, theirs = (path / "adapter/adapter_model.safetensors" for path in (place / "runs" / "x", whole))
    assert ours.read_bytes() == theirs.read_bytes()


def test_output_that_cannot_be_printed_is_told(tmp_path: Path) -> None:
    with open("/dev/full", "w") as full:
        line = [sys.executable, "-m", "mmedpo", "plugins", "list"]
        ended = subprocess.run(line, stdout=full, stderr=subprocess.PIPE, text=True, cwd=tmp_path, check=False)
    assert ended.returncode == 4
    assert re.match("mmedpo: .*output.*: cannot be written \\(No space left on device\\)", ended.stderr)
    assert len(ended.stderr.splitlines()) == 1


def test_what_a_dead_process_had_begun_is_swept(tmp_path: Path) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    mine = [f".a.json.{os.getpid()}", ".b.json.1", ".hidden", "c.json.4711"]
    for name in (*mine, f".pairs.jsonl.{dead.pid}", ".x.png.99999999999999999999"):
        (tmp_path / name).write_text("")
    remove_leftovers(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(mine)
