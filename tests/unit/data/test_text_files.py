"""Files are read line by line, a line ends at one character alone, and what is no text is said with what to do."""

from __future__ import annotations

import gzip
import os
import re
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT

from mmedpo import DataError
from mmedpo.data import csv_rows, file_text, json_value, jsonl_rows, split_lines, text_lines, why_unreadable
from mmedpo.data import text_files as limits

BREAKS = "\u2028\u2029\x85\x0b\x0c\x1c\x1d\x1e\r"


def test_a_line_ends_at_a_newline_alone(tmp_path: Path) -> None:
    (tmp_path / "x").write_text(f"a{BREAKS}b\nc", encoding="utf-8", newline="")
    assert list(text_lines(tmp_path / "x")) == [f"a{BREAKS}b\n", "c"]
    assert split_lines(f"a{BREAKS}b\nc\n") == [f"a{BREAKS}b", "c"]
    assert split_lines("") == []


def test_nothing_splits_a_file_at_what_stands_within_its_lines() -> None:
    """`splitlines` is for messages of libraries; `split_lines`, `text_lines` and `jsonl_rows` are for files."""
    modules = [path for folder in ("mmedpo", "plugins") for path in (ROOT / folder).rglob("*.py")]
    lines = [f"{path}: {line}" for path in modules for line in path.read_text().split("\n") if ".splitlines(" in line]
    assert [line for line in lines if not re.search(r"(str\(error\)|stdout)\.splitlines", line)] == []


ODD: dict[str, Callable[[Path], object]] = {
    "there is no such file": lambda path: None,
    "is a folder": lambda path: path.mkdir(),
    "is a pipe": lambda path: os.mkfifo(path),
    "is a socket": lambda path: socket.socket(socket.AF_UNIX).bind(str(path)),
    "is a device": lambda path: path.symlink_to("/dev/zero"),
    "cannot be read": lambda path: path.symlink_to(path.name),
}


@pytest.mark.parametrize("why", ODD)
def test_what_is_no_file_is_said_and_never_opened(why: str, tmp_path: Path) -> None:
    ODD[why](tmp_path / "rows")
    assert why in why_unreadable(tmp_path / "rows")
    for read in (csv_rows, jsonl_rows, file_text, json_value):
        with pytest.raises(DataError, match=f"rows: {why}"):
            list(read(tmp_path / "rows"))


def test_a_name_that_is_too_long_is_no_file() -> None:
    assert "too long" in why_unreadable(Path("x" * 5000))


TEXT = "image,question,answer\na.png,Größe?,ja\n"
NO_TEXT = {
    "utf-16": (TEXT.encode("utf-16"), ": is UTF-16 .*save it as 'CSV UTF-8'"),
    "utf-16 without a mark": (TEXT.encode("utf-16-le"), ": is UTF-16"),
    "cp1252": (TEXT.encode("cp1252"), r":2:9: the byte 0xf6 is not UTF-8; in Windows-1252 it is 'ö': save the file as"),
    "xlsx": (b"PK\x03\x04\x14\x00\x06\x00" + bytes(40), ": is an Excel workbook"),
    "xls": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(40), ": is an old Excel workbook"),
    "parquet": (b"PAR1" + bytes(40), ": is a parquet file"),
    "gzipped twice": (gzip.compress(gzip.compress(TEXT.encode())), ": is gzipped twice"),
}


@pytest.mark.parametrize("kind", NO_TEXT)
def test_what_is_no_utf_8_text_is_named_with_what_to_do(kind: str, tmp_path: Path) -> None:
    content, why = NO_TEXT[kind]
    (tmp_path / "vqa.csv").write_bytes(content)
    with pytest.raises(DataError, match=f"vqa.csv{why}"):
        list(csv_rows(tmp_path / "vqa.csv"))


WHOLE = gzip.compress(TEXT.encode() * 999, mtime=0)
DAMAGED = {
    "cut": WHOLE[:-9],
    "cut early": WHOLE[:30],
    "damaged within": WHOLE[:40] + bytes(20) + WHOLE[60:],
    "wrong sum": WHOLE[:-8] + bytes(8),
    "no gzip": TEXT.encode(),
}


@pytest.mark.parametrize("how", DAMAGED)
def test_a_damaged_gzip_file_is_named(how: str, tmp_path: Path) -> None:
    (tmp_path / "vqa.csv.gz").write_bytes(DAMAGED[how])
    for read in (csv_rows, file_text):
        with pytest.raises(DataError, match=r"vqa\.csv\.gz: (cannot be unpacked|is not gzipped)"):
            list(read(tmp_path / "vqa.csv.gz"))


def test_a_gzipped_file_is_known_by_its_content(tmp_path: Path) -> None:
    (tmp_path / "vqa.csv").write_bytes(gzip.compress(TEXT.encode()))
    (row,) = csv_rows(tmp_path / "vqa.csv")
    assert row.values["question"] == "Größe?"


def test_what_unpacks_to_more_than_memory_holds_is_refused_on_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MOST_UNPACKED", 10_000)
    (tmp_path / "vqa.csv.gz").write_bytes(gzip.compress(TEXT.encode() * 999))
    for read in (csv_rows, file_text):
        with pytest.raises(DataError, match=r"vqa\.csv\.gz: holds more than .* when unpacked"):
            list(read(tmp_path / "vqa.csv.gz"))


@pytest.mark.slow
@pytest.mark.parametrize("what", [b"a,b\n", b" "], ids=["rows", "one line"])
def test_a_bomb_is_refused_after_its_first_megabytes(what: bytes, tmp_path: Path) -> None:
    (tmp_path / "vqa.csv.gz").write_bytes(gzip.compress(b"a,b\n" + what * (2**24 // len(what))))
    for read in (csv_rows, file_text):
        with pytest.raises(DataError, match=r"vqa\.csv\.gz: holds 200 times its size"):
            list(read(tmp_path / "vqa.csv.gz"))


def test_a_line_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LONGEST_LINE", 10_000)
    (tmp_path / "vqa.csv.gz").write_bytes(gzip.compress(TEXT.encode() + b"x" * 20_000))
    with pytest.raises(DataError, match=r"vqa\.csv\.gz:3: the line is longer than"):
        list(csv_rows(tmp_path / "vqa.csv.gz"))


@pytest.mark.parametrize("mark", [";", "\t", "|"])
def test_a_table_with_other_marks_between_its_cells_says_which(mark: str, tmp_path: Path) -> None:
    (tmp_path / "vqa.csv").write_text(TEXT.replace(",", mark))
    with pytest.raises(DataError, match=r"vqa\.csv:1: its cells stand between .*, not commas: say `delimiter: "):
        list(csv_rows(tmp_path / "vqa.csv"))
