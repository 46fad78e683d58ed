"""Write a run into one SQLite file."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from mmedpo.core.machine.disk import guard_writes
from mmedpo.core.privacy import private_files
from mmedpo.errors import DataError
from mmedpo.exchange.sqlite.schema import FINISH, TABLES
from mmedpo.exchange.sqlite.table_writer import Images, TableWriter
from mmedpo.store.run_files.reader import RunFiles, read_run

TOLD = ("state", "until", "recipe_file", "seed", "limit", "restricted", "packages", "recipe", "spent", "scoring")


@dataclass(frozen=True)
class RunDatabase:
    """A database that was written."""

    file: Path
    rows: dict[str, int]  # by table
    restricted: bool
    images: Images  # what it has of images
    left_out: int  # restricted images of which it has neither path nor content


def export_database(run: Path, out: Path, images: Images = "paths", *, with_restricted: bool = False) -> RunDatabase:
    """Write a run's cases, pairs, votes, answers, measures and dropped cases as tables.

    Raises DataError when there is a file at `out`, or no run.
    """
    if out.exists():
        raise DataError(f"{out}: is there already; name a new file")
    files = read_run(run)
    with private_files(files.run.restricted), _new_database(out) as database:
        _write_run(TableWriter(database, images, with_restricted=with_restricted), files)
        database.executescript(FINISH)
        rows = _count_rows(database)
        (left_out,) = database.execute("SELECT count(*) FROM images WHERE path IS NULL AND content IS NULL").fetchone()
    return RunDatabase(out, rows, files.run.restricted, images, left_out if images != "none" else 0)


@contextmanager
def _new_database(out: Path) -> Iterator[sqlite3.Connection]:
    """Yield a database with its tables, which takes its place once it is whole."""
    beside = out.with_name(f".{out.name}.partial")
    with guard_writes(out), _explain_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        beside.unlink(missing_ok=True)
        try:
            with closing(sqlite3.connect(beside, isolation_level=None)) as database:
                database.executescript(f"PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; BEGIN; {TABLES}")
                yield database
                if database.in_transaction:
                    database.execute("COMMIT")
            beside.replace(out)
        finally:
            beside.unlink(missing_ok=True)


@contextmanager
def _explain_errors(out: Path) -> Iterator[None]:
    """Turn what SQLite refuses into a DataError: a full disk, half a character, a build without full text search."""
    try:
        yield
    except (sqlite3.Error, UnicodeEncodeError) as error:
        raise DataError(f"{out}: cannot be written ({error})") from error


def _write_run(tables: TableWriter, files: RunFiles) -> None:
    told = files.run.model_dump(mode="json")
    for key in TOLD:
        value = told[key]
        tables.insert("run", key=key, value=value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
    for stage in files.run.flow:
        for count in stage.counts:
            tables.add_count(stage.stage, count)
    for pair in files.pairs():
        tables.add_pair(pair)
    for case in files.cases():
        tables.add_case(case)
    for dropped in files.dropped():
        tables.add_dropped(dropped)
    for answer in files.answers():
        tables.add_answer(answer)
    for metric in files.measures.measures if files.measures else ():
        tables.add_metric(metric)


def _count_rows(database: sqlite3.Connection) -> dict[str, int]:
    names = ("cases", "pairs", "votes", "dropped", "answers", "measures", "images")
    return {name: database.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in names}
