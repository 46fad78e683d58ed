"""Rows of data files know their place, and what is no row is an error with line and column."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from mmedpo import DataError, Ids, Row, answer_kind, csv_rows, json_rows, json_value, jsonl_rows


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


@pytest.mark.parametrize("content", [b"\xff\xfe", gzip.compress(b"a,b\n1,2\n", mtime=0)[:-4]])
def test_a_file_that_cannot_be_decoded_is_named(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / ("rows.gz" if content.startswith(b"\x1f") else "rows")
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"rows.*: (byte 0 is not UTF-8|cannot be read)"):
        list(csv_rows(file))


def test_a_value_must_be_a_text_or_a_number() -> None:
    row = Row("vqa.csv:3", {"a": " x ", "n": 3, "list": [1], "yes": True})
    assert (row.text("a"), row.text("n"), row.get("missing")) == ("x", "3", "")
    for key in ("list", "yes", "missing"):
        with pytest.raises(DataError, match=rf"^vqa\.csv:3: '{key}' must be a text, not "):
            row.text(key)


def test_an_id_used_again_is_refused_with_both_places_or_made_distinct() -> None:
    ids = Ids()
    ids.require_new("7", Row("a.csv:2", {}))
    with pytest.raises(DataError, match=r"a\.csv:9: the id '7' stands already at a\.csv:2"):
        ids.require_new("7", Row("a.csv:9", {}))
    assert [ids.distinct("7"), ids.distinct("8")] == ["7~2", "8"]


def test_an_answer_yes_or_no_is_closed() -> None:
    assert [answer_kind(answer) for answer in ("Yes", "no.", "No mass", "left")] == ["closed", "closed", "open", "open"]
