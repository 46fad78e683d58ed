"""The files of a run folder are typed data of one format; another format, and what is broken, gets one clear line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from run_folder import run_record, write_run
from typer.testing import CliRunner

from mmedpo import DataError, read_run
from mmedpo.cli.main import app
from mmedpo.events import StageCount
from mmedpo.store.run_files.counts import COUNTS, CountSums, describe_count, describe_counts, is_lost, sum_counts
from mmedpo.store.run_files.format import FORMAT, read_file, write_file
from mmedpo.store.run_files.measures import MeasureRecord
from mmedpo.store.run_files.record import ModelSpending, RunRecord, StageSummary
from mmedpo.store.run_folder import write_json

RECIPE = """
output: {folder}
data: {{use: phantom, images: 2}}
backbone: {{use: phantom}}
disprefer: [{{use: opposite-answer}}]
unrated: keep
"""
COMMANDS = (["report"], ["compare"], ["train"], ["score"], ["export", "--to", "trl", "--out", "out"])


def change(file: Path, **keys: object) -> None:
    """Change keys of a JSON file; None takes one out."""
    known = {**json.loads(file.read_text()), **keys}
    file.write_text(json.dumps({key: value for key, value in known.items() if keys.get(key, "") is not None}))


def test_what_is_written_is_read_back_the_same(tmp_path: Path) -> None:
    counts = (StageCount("cases", 3), StageCount("left_out", 2, "csv", kind="text", reason="broken"))
    spent = {"m": ModelSpending(calls=1, tokens_in=2, tokens_out=3, money=0.5, lost_replies=1)}
    record = run_record({"seed": None}, flow=(StageSummary(stage="read", counts=counts),), spent=spent)
    write_file(tmp_path, record)
    assert read_file(tmp_path, RunRecord) == record


def test_every_json_file_begins_with_its_format(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    for file in folder.glob("*.json"):
        assert next(iter(json.loads(file.read_text()).items())) == ("format", FORMAT), file


def test_a_count_has_no_more_keys_than_it_needs(tmp_path: Path) -> None:
    write_file(tmp_path, run_record({}, flow=(StageSummary(stage="read", counts=(StageCount("cases", 0),)),)))
    flow = json.loads((tmp_path / "run.json").read_text())["flow"]
    assert flow == [{"stage": "read", "counts": [{"what": "cases", "count": 0}]}]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
@pytest.mark.parametrize(
    ("found", "said"),
    [
        (FORMAT + 1, f"run.json: is of format {FORMAT + 1}, and this version reads up to {FORMAT}; update mmedpo"),
        (None, "run.json: is of an old form, without 'format'; run the recipe again in a new folder"),
        ("new", 'run.json: its format is "new", which is none; run the recipe again in a new folder'),
    ],
)
def test_a_run_folder_of_another_format_is_refused_by_every_command_in_a_line(
    command: list[str], found: object, said: str, tmp_path: Path
) -> None:
    folder = write_run(tmp_path / "run")
    change(folder / "run.json", format=found)
    done = CliRunner().invoke(app, [command[0], str(folder), *command[1:]])
    assert (done.exit_code, said in done.output) == (4, True), done.output


@pytest.mark.parametrize("file", ["training.json", "measures.json"])
def test_a_single_file_of_a_newer_format_is_named(file: str, tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    change(folder / file, format=FORMAT + 1)
    done = CliRunner().invoke(app, ["report", str(folder)])
    assert (done.exit_code, f"{file}: is of format {FORMAT + 1}" in done.output) == (4, True), done.output


def test_a_run_in_a_folder_of_an_old_form_leaves_it_as_it_is(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    change(folder / "run.json", format=None)
    (folder / "results.json").write_text('{"pairs": "0"}')
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.name != ".lock"}
    (tmp_path / "recipe.yaml").write_text(RECIPE.format(folder=folder))
    for more in ([], ["--dry-run"]):
        done = CliRunner().invoke(app, ["run", str(tmp_path / "recipe.yaml"), *more])
        assert (done.exit_code, "run the recipe again in a new folder" in done.output) == (4, True), done.output
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.name != ".lock"} == before


def test_a_key_of_a_later_version_is_passed_over(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    before = read_run(folder)
    change(folder / "run.json", mood="cheerful")
    assert read_run(folder).run == before.run


def test_what_is_broken_is_said_with_its_place(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    change(folder / "measures.json", cases="many")
    with pytest.raises(DataError, match=r"measures\.json: cases: .*; delete it and run again"):
        read_file(folder, MeasureRecord)
    rows = (folder / "answers.jsonl").read_text().splitlines()
    (folder / "answers.jsonl").write_text("\n".join([rows[0], rows[1].replace('"group"', '"groop"')]))
    with pytest.raises(DataError, match=r"answers\.jsonl:2: group: .*; run its recipe again"):
        list(read_run(folder).answers())


def test_a_run_that_has_nothing_yet_has_empty_files(tmp_path: Path) -> None:
    files = read_run(write_run(tmp_path / "run", pairs=0, training=False, measures=False))
    assert (files.training, files.measures) == (None, None)
    assert [*files.pairs(), *files.answers(), *files.attention()] == []
    assert (len(files.pairs()), bool(files.answers())) == (0, False)


def test_rows_are_read_one_by_one_from_wherever_they_stand(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", pairs=5)
    lines = (folder / "pairs.jsonl").read_text().splitlines()
    (folder / "pairs.jsonl").write_text("\n\n".join([*lines[:3], "{", lines[4]]))
    pairs = read_run(folder).pairs()
    first, second, *_ = pairs[:3]
    assert (len(pairs), pairs[1], pairs[-4]) == (5, second, second)
    assert next(iter(pairs)) == first
    assert pairs[4] == pairs[-1] != first
    for read in (lambda: pairs[3], lambda: list(pairs)):
        with pytest.raises(DataError, match=r"pairs\.jsonl:7:2: broken JSON"):
            read()
    with pytest.raises(IndexError):
        pairs[5]


def test_images_of_answers_and_pairs_are_found_from_anywhere(tmp_path: Path) -> None:
    files = read_run(write_run(tmp_path / "run"))
    assert [Path(row.image.path).exists() for row in files.answers()] == [True, True, True, False]
    assert all(Path(item.pair.case.image.path).exists() for item in files.pairs())


def test_counts_that_differ_in_their_number_alone_are_one() -> None:
    one, other = StageCount("pairs", 1, "a", kind="text"), StageCount("pairs", 2, "b", kind="text")
    sums = CountSums()
    for count in (one, other, one):
        sums.add(count)
    assert sums.counts() == [StageCount("pairs", 2, "a", kind="text"), other]
    assert sum_counts([one, other], "pairs") == 3
    assert sum_counts([one, other], "pairs", part="b") == 2
    assert sum_counts([one, other], "drops") == 0


def test_tallies_stand_in_the_order_of_their_numbers() -> None:
    sums = CountSums()
    for step in (900, 1000, 200):
        sums.add(StageCount("tallied_pairs", 1, "hiding-noise", kind="image", reason=f"hidden at step {step}"))
        sums.add(StageCount("cases_without_pair", 1, "hiding-noise", kind="image", reason=f"of {step}"))
    assert [count.reason.split()[-1] for count in sums.counts()] == ["200", "900", "1000", "900", "1000", "200"]


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (StageCount("pairs", 2), "pairs"),
        (StageCount("pairs", 2, "mirror", kind="image"), "image pairs by mirror"),
        (StageCount("unrated_pairs", 2, kind="text"), "text pairs unrated"),
        (StageCount("left_out", 2, reason="has {braces} [and more]"), "left out: has {braces} [and more]"),
        (StageCount("pairs_of_the_future", 2, "mirror"), "pairs of the future"),
    ],
)
def test_a_count_is_said_by_its_key_and_what_is_known_of_it(count: StageCount, said: str) -> None:
    assert describe_count(count) == said
    assert describe_counts([count]) == f"2 {said}"


def test_every_key_has_words_that_can_be_said() -> None:
    for what in COUNTS:
        count = StageCount(what, 1, "one", "other", "text", "why")
        assert not {*"{}[]"} & set(describe_count(count))
        assert is_lost(count) is COUNTS[what].lost


def test_no_json_file_holds_a_bare_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "measures.json", {"recall": float("nan")})
    assert not list(tmp_path.iterdir())
