"""What cannot be read in a journal is as good as not there: said once, done again, and nothing else is lost."""

from __future__ import annotations

import json
import shutil
import sqlite3
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mmedpo import DataError
from mmedpo.pipeline.run import run_recipe
from mmedpo.recipe.loading import load_recipe
from mmedpo.store.journal import FORMAT, Journal
from mmedpo.train.reference import ReferenceJournal

pytestmark = pytest.mark.slow  # whole runs

RECIPE = """
output: runs/x
data: {use: phantom, split: train, images: 3, restricted: false}
backbone: {use: phantom}
localize: [{use: annotated}]
disprefer: [{use: lesion-noise}, {use: self-hallucination}]
score: [{use: detector-confidence}, {use: med-llm-vote}]
evaluate: {data: {use: phantom, split: test, images: 2}, measure: [{use: med-vqa}], max_new_tokens: 2}
"""
MADE = ("pairs.jsonl", "measures.json", "answers.jsonl")


def carried_out(place: Path) -> list[bytes]:
    (place / "recipe.yaml").write_text(RECIPE)
    folder = run_recipe(load_recipe(place / "recipe.yaml", [f"output={place}/runs/x"]), lambda event: None).folder
    images = sorted((folder / "images").glob("*/*"))
    for image in images:
        Image.open(image).load()
    return [(folder / name).read_bytes().replace(str(place).encode(), b"") for name in MADE]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[bytes]]:
    place = tmp_path_factory.mktemp("whole")
    return place, carried_out(place)


def packed(value: Any) -> bytes:
    return zlib.compress(json.dumps(value).encode())


DAMAGE: dict[str, Callable[[bytes], Any]] = {
    "cut": lambda blob: blob[: len(blob) // 2],
    "empty": lambda blob: b"",
    "nothing": lambda blob: None,
    "a bit that flipped": lambda blob: bytes([*blob[:9], blob[9] ^ 1, *blob[10:]]),
    "text": lambda blob: "a text",
    "a number": lambda blob: 7,
    "no JSON": lambda blob: zlib.compress(b"{"),
    "no UTF-8": lambda blob: zlib.compress(b'"\xff"'),
    "JSON null": lambda blob: packed(None),
    "another number": lambda blob: packed(5),
    "an object": lambda blob: packed({"pair": 1}),
    "an empty list": lambda blob: packed([]),
    "a list of texts": lambda blob: packed(["pair", "drop"]),
    "a pair of nothing": lambda blob: packed([["pair", {}]]),
    "deep": lambda blob: zlib.compress(b"[" * 100_000),
    "an answer too many": lambda blob: (
        packed([*json.loads(zlib.decompress(blob)), "yes"]) if zlib.decompress(blob).startswith(b"[") else blob
    ),
}


@pytest.mark.parametrize("turn", range(0, len(DAMAGE), 4))
def test_damaged_and_foreign_values_are_done_again_and_told_once(
    turn: int, whole: tuple[Path, list[bytes]], tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    place, made = whole
    shutil.copytree(place / "runs", tmp_path / "runs")
    with sqlite3.connect(tmp_path / "runs/journal.sqlite") as db:
        rows = db.execute("SELECT key, value FROM done ORDER BY key").fetchall()
        kinds = list(DAMAGE.values())
        harmed = [(kinds[(at + turn) % len(kinds)](blob), key) for at, (key, blob) in enumerate(rows)]
        db.executemany("UPDATE done SET value = ? WHERE key = ?", harmed)
    capfd.readouterr()
    assert carried_out(tmp_path) == made
    told = [line for line in capfd.readouterr().err.splitlines() if "cannot be read" in line]
    assert len(told) == 1
    assert "journal.sqlite: holds something that cannot be read" in told[0]


@pytest.mark.parametrize("kind", DAMAGE)
def test_every_kind_of_damage_reads_as_nothing(kind: str, tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.sqlite")
    value = DAMAGE[kind](packed(["yes", "no"]))
    journal._db.execute("INSERT INTO done VALUES ('key', ?)", (value,))

    def read(texts: Any) -> list[str]:
        if len(texts) != 2 or not all(isinstance(text, str) and len(text) < 4 for text in texts):
            raise ValueError("not two short texts")
        return list(texts)

    assert journal.get("key", read) is None
    journal.put("key", ["yes", "no"])
    assert journal.get("key", read) == ["yes", "no"]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def repaint(path: Path) -> None:
    Image.new("L", Image.open(path).size, 1).save(path)


@pytest.mark.parametrize("harm", [Path.unlink, cut, repaint], ids=["gone", "cut", "other pixels"])
def test_a_slice_whose_images_are_gone_or_damaged_is_done_again(
    harm: Callable[[Path], None], whole: tuple[Path, list[bytes]], tmp_path: Path
) -> None:
    place, made = whole
    shutil.copytree(place / "runs", tmp_path / "runs")
    shutil.rmtree(tmp_path / "runs/x")
    images = sorted((tmp_path / "runs/journal-images").glob("*/*"))
    before = {path.name: path.read_bytes() for path in images}
    for path in images[: None if harm is cut else len(images) // 2]:
        harm(path)
    assert carried_out(tmp_path) == made
    assert {path.name: path.read_bytes() for path in (tmp_path / "runs/journal-images").glob("*/*")} == before
    linked = {path.name: path.read_bytes() for path in (tmp_path / "runs/x/images").glob("*/*")}
    assert linked.items() <= before.items()


def test_images_that_were_made_anew_reach_a_run_folder_that_links_the_damaged_ones(
    whole: tuple[Path, list[bytes]], tmp_path: Path
) -> None:
    shutil.copytree(whole[0] / "runs", tmp_path / "runs")
    images = sorted((tmp_path / "runs/x/images").glob("*/*"))
    before = [path.read_bytes() for path in images]
    for path in images:
        made = tmp_path / "runs/journal-images" / path.parent.name / path.name
        path.unlink()
        cut(made)
        path.hardlink_to(made)
    carried_out(tmp_path)
    assert [path.read_bytes() for path in images] == before


def database(path: Path, *statements: str) -> Path:
    with sqlite3.connect(path) as db:
        for statement in statements:
            db.execute(statement)
    return path


@pytest.mark.parametrize(
    ("statements", "told"),
    [
        (["CREATE TABLE patients (name TEXT)"], "another program's database .it holds patients"),
        (["CREATE TABLE done (id INTEGER, what TEXT)"], "another program's database"),
        (["CREATE TABLE done (key TEXT, value BLOB, time REAL)"], "another program's database"),
        (["CREATE TABLE moz_places (id INTEGER)", "PRAGMA user_version = 77"], "another program's database"),
        (
            ["CREATE TABLE done (key TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID", "PRAGMA user_version = 99"],
            f"written by a newer mmedpo .journal format 99, this one knows {FORMAT}.; update",
        ),
    ],
)
def test_another_programs_database_and_a_newer_journal_are_refused(
    statements: list[str], told: str, tmp_path: Path
) -> None:
    path = database(tmp_path / "j.sqlite", *statements)
    before = path.read_bytes()
    with pytest.raises(DataError, match=rf"j\.sqlite: .*{told}"):
        Journal(path)
    assert path.read_bytes() == before


def test_a_folder_or_a_torn_file_in_a_journals_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match="is a folder; journal: names a file"):
        Journal(tmp_path / "folder")
    journal = Journal(tmp_path / "j.sqlite")
    for number in range(500):
        journal.put(str(number), "x" * number)
    journal.close()
    cut_at = (tmp_path / "j.sqlite").stat().st_size // 2
    with (tmp_path / "j.sqlite").open("r+b") as file:
        file.truncate(cut_at)
    with pytest.raises(DataError, match=r"cannot be used as a journal .*\.recover"):
        Journal(tmp_path / "j.sqlite").put("one", 1)


def test_reference_log_probabilities_that_are_none_are_computed_again(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.sqlite")
    for key, value in {"a": [-1.5, -2.5], "b": ["x", 1], "c": ["nan", 1.0], "d": [1.0], "e": {"a": 1}}.items():
        journal.put(key, value)
    assert dict(ReferenceJournal(journal, {key.upper(): key for key in "abcdef"})) == {"A": (-1.5, -2.5)}
