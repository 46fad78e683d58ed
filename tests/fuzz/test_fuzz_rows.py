"""Whatever stands in a table, it is read as it stands there or refused with its place: nothing else is raised."""

from __future__ import annotations

import csv
import gzip
import json
import math
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fuzzing import fuzz
from hypothesis import assume, example, given
from hypothesis import strategies as st
from mmedpo_plugins.readers.tables import CsvReader, JsonlReader
from mmedpo_plugins.tabular.parquet import parquet_rows
from PIL import Image

from mmedpo import Case, DataError
from mmedpo.core.records import from_json, to_json
from mmedpo.data import TableRow, collect_rows, csv_rows, file_text, json_rows, json_value, jsonl_rows
from mmedpo.data.text_files import split_lines

BREAKS = "\u2028\u2029\x85\x0b\x0c\x1c\x1d\x1e\r\n\0\ufeff\u200b;,\t\"'"
texts = st.text(st.characters(codec="utf-8") | st.sampled_from(BREAKS), max_size=12)
odd = st.sampled_from(["\ud83d", "a\udfffb", 10**400, -(10**4299), 1e400, math.nan, -math.inf, 2.0, -0.0, 2**63, True])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts | odd,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fuzz")
    Image.linear_gradient("L").resize((8, 8)).save(folder / "1.png")
    return folder


def outcome(read: Callable[[], Any], file: Path) -> Any:
    """Return what is read, or None where it is refused with the name of its file."""
    try:
        return read()
    except DataError as error:
        told = str(error).split("\n")
    assert all(str(file) in line or "more rows" in line for line in told)
    return None


@fuzz(80)
@given(st.lists(st.lists(texts, min_size=2, max_size=2), max_size=4), st.sampled_from(",;\t"), st.booleans())
def test_cells_are_read_as_they_were_written(place: Path, cells: list[list[str]], mark: str, packed: bool) -> None:
    file = place / "cells.csv"
    with file.open("w", newline="", encoding="utf-8") as out:
        csv.writer(out, delimiter=mark, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows([["a", "b"], *cells])
    if packed:
        file.write_bytes(gzip.compress(file.read_bytes(), 1))
    assert [list(row.values.values()) for row in csv_rows(file, mark)] == cells


def tidied(value: Any) -> Any:
    """Return a value as it is to be read: nothing but NaN is another."""
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, dict):
        return {key: tidied(item) for key, item in value.items()}
    return [tidied(item) for item in value] if isinstance(value, list) else value


def is_bad(value: Any) -> bool:
    """Tell whether a value holds what no record can."""
    if isinstance(value, dict):
        return any(is_bad(item) for both in value.items() for item in both)
    if isinstance(value, list):
        return any(map(is_bad, value))
    if isinstance(value, str):
        return any("\ud800" <= char <= "\udfff" for char in value)
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**300


@fuzz(80)
@given(st.dictionaries(texts, values, max_size=4), st.booleans())
def test_json_is_read_as_it_was_written_or_refused(place: Path, row: dict[str, Any], escaped: bool) -> None:
    text = json.dumps(row, ensure_ascii=escaped)
    assume(escaped or not is_bad(row))
    for name, written, read in (
        ("rows.jsonl", text + "\n", lambda file: collect_rows(jsonl_rows(file))[0].values),
        ("rows.json", f"[{text}]", lambda file: collect_rows(json_rows(file))[0].values),
        ("value.json", text, json_value),
    ):
        file = place / name
        file.write_text(written, encoding="utf-8", newline="")
        found = outcome(lambda file=file, read=read: read(file), file)  # type: ignore[misc]
        assert found is None if is_bad(row) else found == tidied(row)


GOOD = {
    "x.csv": b'image,question,answer,kind\n1.png,Is it?,yes,\n1.png,Where?,"left, up",open\n',
    "x.jsonl": b'{"image": "1.png", "question": "Is it?", "answer": "yes", "boxes": [{"box": [1, 2, 3, 4]}]}\n',
}
GOOD |= {f"{name}.gz": gzip.compress(content, mtime=0) for name, content in GOOD.items()}


@fuzz(80)
@given(st.sampled_from(sorted(GOOD)), st.integers(0, 120), st.integers(0, 9), st.binary(max_size=9))
def test_a_damaged_file_is_read_or_refused(place: Path, name: str, start: int, cut: int, put: bytes) -> None:
    file = place / name
    file.write_bytes(GOOD[name][:start] + put + GOOD[name][start + cut :])
    reader = (CsvReader if ".csv" in name else JsonlReader)(file=file)
    for read in (lambda: list(reader.read()), lambda: file_text(file), lambda: json_value(file)):
        outcome(read, place)


columns = st.sampled_from(["id", "kind", "group", "about", "boxes", "restricted", "extra"])


@fuzz(80)
@given(st.lists(st.dictionaries(columns, values, max_size=3), min_size=1, max_size=3), texts, texts)
def test_a_case_goes_through_a_file_whole(place: Path, rows: list[dict[str, Any]], question: str, answer: str) -> None:
    file = place / "cases.jsonl"
    lines = [json.dumps({"image": "1.png", "question": question, "answer": answer, **row}) for row in rows]
    file.write_text("\n".join(lines))
    notes = ["extra"] if any("extra" in row for row in rows) else []
    cases = outcome(lambda: list(JsonlReader(file=file, notes=notes).read()), file)
    for case in cases or ():
        assert isinstance(case, Case)
        assert (case.question, case.answer) == (question.strip(), answer.strip())
        assert "nan" not in (case.id, case.group, *case.about) or "nan" in "".join(lines)
        (text,) = split_lines(json.dumps(to_json(case), ensure_ascii=False, allow_nan=False) + "\n")
        assert from_json(Case, json.loads(text)) == case


numbers: Any = st.none() | st.floats() | st.sampled_from([math.nan, math.inf, 2.0])
arrays: Any = st.one_of(
    st.lists(st.none() | st.integers(-(2**63), 2**63 - 1), max_size=3).map(lambda some: pa.array(some, pa.int64())),
    st.lists(numbers, max_size=3).map(lambda some: pa.array(some, pa.float64())),
    st.lists(st.none() | texts, max_size=3).map(lambda some: pa.array(some, pa.string())),
    st.lists(st.none() | st.binary(max_size=4), max_size=3).map(
        lambda some: pa.array(some, pa.binary()).cast(pa.string(), safe=False)
    ),
    st.lists(st.none() | st.integers(-(2**62), 2**62), max_size=3).map(lambda some: pa.array(some, pa.timestamp("us"))),
    st.lists(st.none() | st.lists(st.floats(), max_size=2), max_size=3).map(
        lambda some: pa.array(some, pa.list_(pa.float64()))
    ),
)


@fuzz(80)
@given(arrays)
@example(pa.array([2.0**53], pa.float64()))  # from there on, floats are not each whole number
def test_values_of_parquet_are_read_as_json_holds_them_or_refused(array: Any) -> None:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "x.parquet"
        try:
            pq.write_table(pa.table({"a": array}), file)
        except pa.ArrowException:
            return
        for row in outcome(lambda: collect_rows(parquet_rows(file)), file) or ():
            assert isinstance(row, TableRow)
            outcome(lambda row=row: row.kept("a"), file)  # type: ignore[misc]
            text = outcome(lambda row=row: row.get("a"), file)  # type: ignore[misc]
            value = row.values["a"]
            whole = str(value).strip().removesuffix(".0" if not isinstance(value, float) or abs(value) < 2**53 else " ")
            assert text is None or text == ("" if value is None else whole)
