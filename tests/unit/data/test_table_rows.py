"""Rows of data files know their place, and what is no row is an error with line and column."""

from __future__ import annotations

import gzip
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mmedpo import DataError
from mmedpo.data import TableRow, UniqueIds, answer_kind, collect_rows, csv_rows, json_rows, json_value, jsonl_rows


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "rows"


def test_a_csv_row_has_its_columns_and_the_line_it_starts_on(file: Path) -> None:
    file.write_text('\ufeffimage,answer\na.png,"two\nlines"\n\nb.png,n\u2028o\n', encoding="utf-8")
    rows = list(csv_rows(file))
    assert [row.values for row in rows] == [
        {"image": "a.png", "answer": "two\nlines"},
        {"image": "b.png", "answer": "n\u2028o"},
    ]
    assert [row.place for row in rows] == [f"{file}:2", f"{file}:5"]


def test_gzipped_files_and_other_delimiters_are_read(tmp_path: Path) -> None:
    (tmp_path / "rows.csv.gz").write_bytes(gzip.compress(b"a;b\n1;2\n"))
    (row,) = csv_rows(tmp_path / "rows.csv.gz", delimiter=";")
    assert row.values == {"a": "1", "b": "2"}


def test_columns_without_a_name_are_left_out_as_in_the_nih_list_of_boxes(file: Path) -> None:
    file.write_text("Image Index,Bbox [x,y,w,h],,,\na.png,1,2,3,4\n")
    (row,) = csv_rows(file)
    assert row.values == {"Image Index": "a.png", "Bbox [x": "1", "y": "2", "w": "3", "h]": "4"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n3\n", ":3: has 1 cells, but the header names 2"),
        ("a,b\n1,2,3\n", ":2: has 3 cells"),
        ("a,a\n1,2\n", ":1: two columns are called 'a'"),
        ('a,b\n1,"2\n', ":2: broken CSV"),
        (",\n1,2\n", ":1: wants a header"),
    ],
)
def test_what_is_wrong_with_a_csv_file_is_said_with_its_line(file: Path, text: str, message: str) -> None:
    file.write_text(text)
    with pytest.raises(DataError, match=f"rows{message}"):
        list(csv_rows(file))


def test_json_lines_are_numbered_and_blank_ones_skipped(file: Path) -> None:
    file.write_text('{"a": 1}\n\n{"a": "\u2028"}\n')
    assert [row.place for row in jsonl_rows(file)] == [f"{file}:1", f"{file}:3"]


@pytest.mark.parametrize(("text", "place"), [('{"a": 1}\n{"a": }', "2:7: broken JSON"), ("[1]", "1: is no object")])
def test_a_line_that_is_no_object_is_named(file: Path, text: str, place: str) -> None:
    file.write_text(text)
    with pytest.raises(DataError, match=f"rows:{place}"):
        list(jsonl_rows(file))


def test_the_objects_of_a_json_list_know_line_and_column(file: Path) -> None:
    file.write_text('[{"a": 1},\n {"a": 2},\n\n   {"a": 3}]')
    places = [f"{file}:1:2: entry 0", f"{file}:2:2: entry 1", f"{file}:4:4: entry 2"]
    assert [row.place for row in json_rows(file)] == places


def test_a_json_value_that_is_broken_is_named(file: Path) -> None:
    file.write_text('{"a":\n 1,}')
    with pytest.raises(DataError, match=r"rows:2:\d+: broken JSON"):
        json_value(file)


@pytest.mark.parametrize("content", [b"\xff\xe4", gzip.compress(b"a,b\n1,2\n", mtime=0)[:-4]])
def test_a_file_that_cannot_be_decoded_is_named(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / ("rows.gz" if content.startswith(b"\x1f") else "rows")
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"rows.*:(1:1: the byte 0xff is not UTF-8| cannot be unpacked)"):
        list(csv_rows(file))


NOTHING: list[Any] = [None, float("nan"), np.float32("nan"), Decimal("nan"), pd.NA, pd.NaT, np.datetime64("NaT")]


@pytest.mark.parametrize("nothing", NOTHING, ids=str)
def test_what_stands_for_nothing_is_missing_wherever_it_stands(nothing: Any) -> None:
    row = TableRow("vqa.csv:3", {"answer": nothing, "boxes": [{"label": nothing, "box": [1, nothing]}]})
    assert row.values == {"answer": None, "boxes": [{"label": None, "box": [1, None]}]}
    assert row.get("answer") == ""
    with pytest.raises(DataError, match=r"^vqa\.csv:3: 'answer' must be a text, not missing"):
        row.text("answer")


def test_whole_numbers_are_written_whole_whatever_their_column_holds() -> None:
    row = TableRow("x:1", {"a": 2.0, "b": 2.5, "c": np.int64(3), "d": np.float64(4), "e": Decimal("5"), "f": 10**20})
    assert [row.get(key) for key in row.values] == ["2", "2.5", "3", "4", "5", str(10**20)]


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), -1, 1.5, True, "0.5", [1]], ids=str)
def test_an_odd_number_in_a_column_of_ours_is_refused_by_row(odd: Any) -> None:
    with pytest.raises(DataError, match=r"^x:1: 'relevance' must be a number from 0 to 1, not "):
        TableRow("x:1", {"relevance": odd}).number("relevance", most=1)


@pytest.mark.parametrize("gap", [None, ...], ids=str)
def test_a_number_that_is_not_there_is_none(gap: Any) -> None:
    assert TableRow("x:1", {} if gap is ... else {"relevance": gap}).number("relevance") is None


@pytest.mark.parametrize("where", ["answer", "nested", "key"])
def test_half_a_character_is_refused_with_its_place(where: str, file: Path) -> None:
    half = "Yes \\ud83d"
    values = {"answer": f'"{half}"', "nested": f'["{half}"]', "key": f'{{"{half}": 1}}'}
    file.write_text(f'{{"a": 1}}\n{{"{where}": {values[where]}}}\n')
    with pytest.raises(DataError, match=rf"rows:2: '{where}' holds half a character \(\\ud83d\)"):
        list(jsonl_rows(file))


DIGITS = "1" * 5000
BROKEN = {
    "[" * 50_000: "nests values within values without end",
    '{"a": ' + "[" * 200 + "]" * 200 + "}": "'a' nests values more than 100 deep",
    f'{{"a": {DIGITS}}}': "holds a number of thousands of digits",
    f'{{"a": {DIGITS[:400]}}}': "'a' holds a number of more than 300 digits",
    '{"a": 1, "a": 2}': "has the key 'a' twice",
}


@pytest.mark.parametrize(("text", "why"), BROKEN.items(), ids=list(BROKEN.values()))
def test_what_json_has_too_much_of_is_said_with_its_line(text: str, why: str, file: Path) -> None:
    file.write_text(f'{{"a": 1}}\n{text}\n')
    with pytest.raises(DataError, match=f"rows:2: {why}"):
        list(jsonl_rows(file))
    file.write_text(f'[{{"a": 1}},\n{text}]')
    with pytest.raises(DataError, match=f"rows:2:1: (entry 1: )?{why}"):
        list(json_rows(file))
    file.write_text(text)
    with pytest.raises(DataError, match=f"rows: {why.removeprefix(repr('a') + ' ')}"):
        json_value(file)


def test_every_wrong_row_is_told_up_to_ten_and_the_rest_counted(file: Path) -> None:
    file.write_text("a,b\n1,2\n" + "3\n" * 12 + "4,5\n")
    with pytest.raises(DataError) as told:
        collect_rows(map(partial(TableRow.text, key="a"), csv_rows(file)))
    lines = str(told.value).split("\n")
    assert lines[0] == f"{file}:3: has 1 cells, but the header names 2; is a quote missing?"
    assert (len(lines), lines[-1]) == (11, "and 2 more rows that are wrong")


def test_a_value_must_be_a_text_or_a_number() -> None:
    row = TableRow("vqa.csv:3", {"a": " x ", "n": 3, "list": [1], "yes": True})
    assert (row.text("a"), row.text("n"), row.get("missing")) == ("x", "3", "")
    for key in ("list", "yes", "missing"):
        with pytest.raises(DataError, match=rf"^vqa\.csv:3: '{key}' must be a text, not "):
            row.text(key)


def test_an_id_used_again_is_refused_with_both_places_or_made_distinct() -> None:
    ids = UniqueIds()
    ids.require_new("7", TableRow("a.csv:2", {}))
    with pytest.raises(DataError, match=r"a\.csv:9: the id '7' stands already at a\.csv:2"):
        ids.require_new("7", TableRow("a.csv:9", {}))
    assert [ids.distinct("7"), ids.distinct("8")] == ["7~2", "8"]


CLOSED = [
    "Yes",
    "no.",
    "YES!",
    "Yes,",
    "no ;",
    " No ",
    "Ｙｅｓ",
    "ｎｏ．",
    "“Yes”",
    "**No**",
    "Yes。",
    "(no)",
    "yes\u200b",
]
OPEN = ["No mass", "left", "y", "True", "1", "Yes - small", "n/a", "none", "n.o.", "yes no", "", "."]


@pytest.mark.parametrize(("answers", "kind"), [(CLOSED, "closed"), (OPEN, "open")], ids=["closed", "open"])
def test_an_answer_that_is_yes_or_no_in_any_writing_is_closed(answers: list[str], kind: str) -> None:
    assert {answer: answer_kind(answer) for answer in answers} == dict.fromkeys(answers, kind)
