"""What texts may hold when they leave: no mark that a tool takes for an image, one line a pair, whole characters."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from run_folder import weighted, write_run

from mmedpo import DataError, Pair
from mmedpo.core.records import to_json
from mmedpo.exchange.formats import FORMATS
from mmedpo.exchange.pairs_io import export_run, import_pairs
from mmedpo.store.run_folder import json_line

MARKS = [(use, mark) for use, form in FORMATS.items() for mark in form.marks]


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Path]:
    """Write a run of seven text pairs, of which the first three are changed, and four image pairs."""

    def written(*texts: str, **changes: Any) -> Path:
        folder = write_run(tmp_path / "run", training=False, measures=False)
        known = json.loads((folder / "run.json").read_text())
        known["recipe"] |= {"localize": [], "disprefer": [], "weigh": {"use": "clinical"}, "localized": "union"}
        (folder / "run.json").write_text(json.dumps(known))
        items = [item for item in weighted(folder, 16) if "<script>" not in item.pair.rejected.answer][:11]
        for at, text in enumerate(texts):
            items[at] = replace(items[at], pair=with_text(items[at].pair, at, text))
        items = [replace(item, **changes) for item in items]
        lines = [json.dumps(to_json(item)) for item in items]
        (folder / "pairs.jsonl").write_text("".join(f"{line}\n" for line in lines))
        return folder

    return written


def with_text(pair: Pair, at: int, text: str) -> Pair:
    """Put a text into the question, the chosen or the rejected answer."""
    if at == 0:
        return replace(pair, case=replace(pair.case, id="odd", question=f"Is there {text} in it?"))
    side = "chosen" if at == 1 else "rejected"
    return replace(pair, **{side: replace(getattr(pair, side), answer=f"It shows {text}.")})  # type: ignore[arg-type]


def test_the_tools_marks_are_known() -> None:
    assert set(FORMATS["llama-factory"].marks) >= {"<image>", "<video>", "<audio>"}
    assert set(FORMATS["ms-swift"].marks) >= {"<image>", "<video>", "<audio>", "<bbox>", "<ref-object>"}
    assert all("<image>" in form.marks for use, form in FORMATS.items() if use != "parquet")


@pytest.mark.parametrize(("use", "mark"), MARKS)
def test_a_text_with_a_mark_of_the_tool_is_left_out_and_counted(
    use: str, mark: str, run: Callable[..., Path], tmp_path: Path
) -> None:
    folder = run(mark, mark, mark)
    exported = export_run(folder, use, tmp_path / "out")
    (note,) = [note for note in exported.notes if "takes for the place" in note]
    assert note.startswith(f"3 of 11 pairs are left out: their question or answers hold {mark}, which ")
    assert note in (tmp_path / "out/README.md").read_text()
    assert exported.left_out >= 3
    for file in (tmp_path / "out").glob("*.json*"):
        body = json.loads(file.read_text()) if file.suffix == ".json" else map(json.loads, file.open())
        for row in body if not isinstance(body, dict) else ():
            row.pop("mmedpo")
            assert json.dumps(row).count(mark) == (0 if mark != "<image>" else asked(use)), "the one we write"


def asked(use: str) -> int:
    return 1 if use == "llama-factory" else 2


def test_a_table_of_ours_holds_any_text(run: Callable[..., Path], tmp_path: Path) -> None:
    exported = export_run(run("<image>", "<video>", "<audio>"), "parquet", tmp_path / "out")
    assert (sum(exported.pairs.values()), exported.left_out, exported.notes) == (11, 0, [])


def test_where_every_text_has_a_mark_nothing_is_written(run: Callable[..., Path], tmp_path: Path) -> None:
    folder = run()
    lines = [json.loads(line) for line in (folder / "pairs.jsonl").open()]
    for line in lines:
        line["pair"]["case"]["question"] = "<image>?"
    (folder / "pairs.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    with pytest.raises(DataError, match=r"nothing is left to export; .*11 of 11 pairs are left out: .* hold <image>"):
        export_run(folder, "ms-swift", tmp_path / "out")


@pytest.mark.parametrize("end", ["\u2028", "\u2029", "\u0085", "\x0b", "\x0c", "\x1c", "\r", "\n"])
def test_a_pair_is_one_line_whatever_a_reader_takes_for_its_end(
    end: str, run: Callable[..., Path], tmp_path: Path
) -> None:
    folder = run(f"a{end}b", f"a{end}b", f"a{end}b")
    for use in FORMATS:
        export_run(folder, use, tmp_path / use)
        import_pairs(tmp_path / use, tmp_path / f"{use}.yaml")
    text = (tmp_path / "ms-swift/pairs.jsonl").read_bytes().decode()
    assert len(text.splitlines()) == 11
    rows = [json.loads(line) for line in text.splitlines()]
    assert rows[0]["messages"][0]["content"] == f"<image>Is there a{end}b in it?"
    assert len(json_line({"a": end}).splitlines()) == 1


@pytest.mark.parametrize("use", FORMATS)
@pytest.mark.parametrize("place", ["question", "answer", "note"])
def test_half_a_character_is_an_error_that_names_the_line(
    use: str, place: str, run: Callable[..., Path], tmp_path: Path
) -> None:
    folder = run()
    first, *rest = [json.loads(line) for line in (folder / "pairs.jsonl").open()]
    half = "half \ud800"
    if place == "question":
        first["pair"]["case"]["question"] = half
    elif place == "answer":
        first["pair"]["rejected"]["answer"] = half
    else:
        first["pair"]["notes"] = {"why": half}
    (folder / "pairs.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in (first, *rest)))
    with pytest.raises(DataError, match=r"pairs\.jsonl:1: "):
        export_run(folder, use, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_endless_number_is_an_error(run: Callable[..., Path], tmp_path: Path) -> None:
    folder = run()
    text = (folder / "pairs.jsonl").read_text().replace('"notes": {', '"notes": {"much": Infinity, ', 1)
    (folder / "pairs.jsonl").write_text(text)
    with pytest.raises(DataError, match=r"pairs\.jsonl"):
        export_run(folder, "ms-swift", tmp_path / "out")


def test_what_mmedpos_code_weighs_by_and_stops_at_is_said(run: Callable[..., Path], tmp_path: Path) -> None:
    folder = run()
    items = [json.loads(line) for line in (folder / "pairs.jsonl").open()]
    notes = export_run(folder, "mmedpo-json", tmp_path / "rated").notes
    assert notes == ["MMedPO's code weighs by `weighted_score`, the relevance: it ignores the column `weight`"]
    for line in items[:2]:
        line["score"]["relevance"] = None
    (folder / "pairs.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in items))
    (_, bare) = export_run(folder, "mmedpo-json", tmp_path / "bare").notes
    assert bare.startswith("2 of 11 pairs have no relevance and so no `weighted_score`: the code stops at")
    rows = json.loads((tmp_path / "bare/pairs_dpo_weighted.json").read_text())
    assert sum("weighted_score" not in row for row in rows) == 2
    assert all("rejected_image" in row for row in rows if json.loads(row["mmedpo"])["kind"] == "image")


def test_weights_that_are_the_relevances_reach_mmedpos_code(run: Callable[..., Path], tmp_path: Path) -> None:
    folder = run()
    items = [json.loads(line) for line in (folder / "pairs.jsonl").open()]
    for line in items:
        line["weight"] = line["score"]["relevance"]
    (folder / "pairs.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in items))
    assert export_run(folder, "mmedpo-json", tmp_path / "out").notes == []
