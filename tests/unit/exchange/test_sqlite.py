"""A run as a database: its tables, what finds its way in them, and that datasette browses it."""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from run_folder import HOSTILE, write_run

from mmedpo import DataError, RecipeError
from mmedpo.cli.pair_commands import ImageColumn, export
from mmedpo.exchange.pairs_io import export_run
from mmedpo.exchange.sqlite.run_database import export_database
from mmedpo.store.run_files.dropped import DroppedCase, tell_dropped
from mmedpo.store.run_files.format import write_rows
from mmedpo.testing import tiny_cases

LEFT = "the answer has no word that can be exchanged"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("sqlite") / "run")


def write(folder: Path, **options: Any) -> Path:
    write_run(folder, **options)
    case = tiny_cases(9)[-1]
    read = DroppedCase(stage="read", case="gone", reason="the image is missing", part="csv")
    write_rows(folder, DroppedCase, [tell_dropped(case, "disprefer", LEFT, "error-injection", "text"), read])
    return folder


@pytest.fixture(scope="module")
def file(run: Path) -> Path:
    return export_database(run, run.with_name("run.db")).file


def ask(file: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(file)) as database:
        return database.execute(query).fetchall()


def test_everything_of_a_run_has_a_table_and_keys_that_hold(file: Path) -> None:
    assert ask(file, "SELECT kind, count(*) FROM pairs GROUP BY kind") == [("image", 4), ("text", 4)]
    assert ask(file, "SELECT rejected FROM pairs WHERE vote_gap = 7") == [(HOSTILE,)]
    assert ask(file, "SELECT voter, score FROM votes WHERE pair_id = 1") == [("a", 9.0), ("b", 2.0)]
    assert ask(file, "SELECT change, count(*) FROM answers GROUP BY 1") == [("better", 1), ("same", 2), ("worse", 1)]
    assert ask(file, "SELECT better, before, low FROM measures WHERE measure = 'sure'") == [("more", 0.5, 0.1)]
    assert ask(file, "SELECT cases, reason FROM drop_reasons ORDER BY 2") == [(1, LEFT), (1, "the image is missing")]
    assert ask(file, "SELECT use, count(*) FROM cases GROUP BY 1") == [("evaluation", 4), ("training", 4)]
    assert ask(file, "PRAGMA foreign_key_check") == []
    assert ask(file, "PRAGMA integrity_check") == [("ok",)]


def test_a_word_is_found_wherever_it_stands(file: Path) -> None:
    assert ask(file, "SELECT name FROM dropped WHERE id IN (SELECT rowid FROM dropped_fts('exchanged'))")
    assert len(ask(file, "SELECT 1 FROM pairs WHERE id IN (SELECT rowid FROM pairs_fts('owned'))")) == 1
    assert len(ask(file, "SELECT 1 FROM answers_fts('owned')")) == 1


def test_images_are_paths_or_content_and_restricted_ones_only_where_asked_for(run: Path, tmp_path: Path) -> None:
    paths = [
        path for (path,) in ask(export_database(run, tmp_path / "paths.db").file, "SELECT path FROM images") if path
    ]
    assert [Path(path).name for path in paths if not Path(path).is_file()] == ["gone.png"]
    blobs = export_database(run, tmp_path / "blobs.db", "blobs").file
    held = ask(blobs, "SELECT DISTINCT substr(content, 2, 3), path FROM images WHERE content NOT NULL")
    assert held == [(b"PNG", None)]
    secret = write(tmp_path / "secret", restricted=True, run={"restricted": True})
    lines = (secret / "pairs.jsonl").read_text().replace('"restricted": false', '"restricted": true')
    (secret / "pairs.jsonl").write_text(lines)
    closed = export_database(secret, tmp_path / "closed.db")
    pairs = "FROM images JOIN pairs ON sha256 = chosen_image"
    assert ask(closed.file, f"SELECT count(path), count(content) {pairs}") == [(0, 0)]
    assert closed.left_out
    assert closed.file.stat().st_mode & 0o077 == 0
    opened = export_database(secret, tmp_path / "opened.db", with_restricted=True)
    assert ask(opened.file, f"SELECT count(path) > 0 {pairs}") == [(1,)]


def test_nothing_is_written_over_and_no_other_form_has_its_options(
    run: Path, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(DataError, match="is there already"):
        export_database(run, file)
    torn = write(tmp_path / "torn")
    (torn / "measures.json").write_text((torn / "measures.json").read_text().replace("med-vqa", "\\ud800"))
    with pytest.raises(DataError, match=r"torn\.db: cannot be written"):
        export_database(torn, tmp_path / "torn.db")
    assert not list(tmp_path.glob("*torn.db*"))
    with pytest.raises(RecipeError, match="did you mean 'sqlite'"):
        export_run(run, "sqllite", run / "x")
    with pytest.raises(RecipeError, match="are for --to sqlite"):
        export(run, "trl", tmp_path / "out", images=ImageColumn.BLOBS)
    export(run, "sqlite", tmp_path / "run.db", json=True)
    assert json.loads(capsys.readouterr().out)["rows"]["pairs"] == 8


def test_datasette_browses_facets_and_searches_it(file: Path) -> None:
    app = pytest.importorskip("datasette.app", reason="datasette is not installed (mmedpo[test])")

    async def get(path: str) -> dict[str, Any]:
        answer = await app.Datasette([str(file)]).client.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    found = asyncio.run(get("/run/pairs.json?_search=owned&_facet=kind&_facet=made_by&_shape=objects"))
    assert [row["rejected"] for row in found["rows"]] == [HOSTILE]
    facets = found["facet_results"]
    facets = facets.get("results", facets)
    assert {one["value"]: one["count"] for one in facets["made_by"]["results"]} == {"wrong": 1}
    tables = asyncio.run(get("/run.json"))["tables"]
    keys = {table["name"]: table["foreign_keys"]["outgoing"] for table in tables}
    assert {key["other_table"] for key in keys["pairs"]} == {"cases", "images"}
    searched = {table["name"] for table in tables if table["fts_table"] and not table["hidden"]}
    assert searched == {"cases", "pairs", "answers", "dropped", "votes"}
    addresses = re.findall(r"`/slake/(\w+)(.*?)`", (ROOT / "docs/guides/browse.md").read_text())
    assert len(addresses) > 5
    for table, query in addresses:
        asyncio.run(get(f"/run/{table}.json{query}"))
