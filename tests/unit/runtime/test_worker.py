"""A worker does what the run's own process would, and hands over all of it: here in this process, pickled both ways."""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
import socket
import sqlite3
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from killed_runs import wrong_answer
from PIL import Image

from mmedpo.core.notes import print_note
from mmedpo.core.stage import Stage
from mmedpo.errors import DataError, PluginError
from mmedpo.pipeline.run import run_recipe
from mmedpo.recipe.engine_options import RayOptions
from mmedpo.recipe.loading import load_recipe
from mmedpo.runtime.context import RunContext
from mmedpo.runtime.slice_work import SliceWork
from mmedpo.runtime.stage_parts import StageParts
from mmedpo.runtime.workers.worker import SliceFailure, SliceReport, Worker, WorkerFacts, WorkerSetup
from mmedpo.store.journal import Journal
from mmedpo.store.worker_journal import JournalReader, take_harvest
from mmedpo.testing import fake_endpoint

RECIPE = """
output: {folder}/run
data: {{use: phantom, images: 2}}
backbone: {{use: phantom}}
localize: [{{use: annotated}}, {{use: attention}}]
disprefer: [{{use: self-hallucination, samples: 1}}, {{use: lesion-noise}}]
score: [{{use: med-llm-vote}}, {{use: detector-confidence}}]
"""


def send(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))


class WorkerHere:
    """Take the place of a run's workers."""

    sees_the_run = True
    reports: list[SliceReport]
    works: list[SliceWork[Any]]

    def __init__(self, run: RunContext, options: RayOptions | None = None) -> None:
        self._run = run
        marker = ".marker" if self.sees_the_run else ".elsewhere"
        for place in (run.folder, run.journal.images):
            place.mkdir(exist_ok=True)
            (place / ".marker").touch()
        setup = WorkerSetup(run.loaded, run.limit, os.getcwd(), run.folder, run.journal.images, marker, {}, 1, None)
        self._worker = Worker(send(setup), JournalReader(str(run.journal.path)).find)
        facts = self._worker.start(7)
        assert isinstance(facts, WorkerFacts)
        assert facts.shared == self.sees_the_run
        type(self).reports, type(self).works = [], []

    def do(self, work: SliceWork[Any], some: Sequence[Any], *, restricted: bool = False) -> SliceReport:
        report = send(self._worker.do(id(work), lambda: send(work), send(some), restricted=restricted))
        assert isinstance(report, SliceReport)
        return report

    def carry_out(
        self, work: SliceWork[Any], items: Callable[[int], Sequence[Any]], left: Sequence[int]
    ) -> Iterator[tuple[int, Any]]:
        self.works.append(work)
        for index in reversed(left):  # in which order they come counts for nothing
            report = self.do(work, items(index))
            self.reports.append(report)
            take_harvest(self._run.journal, report.harvest)
            assert not isinstance(report.value, SliceFailure), report.value.trace
            yield index, report.value

    def close_parts(self) -> None:
        self._worker.close_parts()

    leave = close_parts

    def close(self) -> None:
        self._worker.stop()


@dataclass
class Made:
    """What a run gave."""

    pairs: bytes
    values: dict[str, Any]  # of the journal
    folder: Path

    def pixels(self) -> dict[str, bytes]:
        """Return what is on each image beside the journal."""
        return {path.stem: Image.open(path).tobytes() for path in (self.folder / "journal-images").rglob("*.png")}


def make(folder: Path, *words: str) -> Made:
    folder.mkdir(exist_ok=True)
    (folder / "r.yaml").write_text(RECIPE.format(folder=folder))
    run_recipe(load_recipe(folder / "r.yaml", list(words)), lambda event: None, until=Stage.WEIGH)
    return Made((folder / "run" / "pairs.jsonl").read_bytes(), read_values(folder / "journal.sqlite"), folder)


def read_values(path: Path) -> dict[str, Any]:
    """Return what a journal has of slices and answers, without places of pictures."""
    rows = sqlite3.connect(path).execute("SELECT key, value FROM done")
    known = {key: json.loads(zlib.decompress(value)) for key, value in rows}
    return {key: without_places(value) for key, value in known.items() if not is_of_files(value)}


def is_of_files(value: Any) -> bool:
    """Tell whether a value is what is known of files, under whose sizes and times it is kept."""
    return not isinstance(value, list) or all(isinstance(item, str) and len(item) == 64 for item in value)


def without_places(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_places(item) for key, item in value.items() if key != "path"}
    return [without_places(item) for item in value] if isinstance(value, list) else value


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make(tmp_path_factory.mktemp("local"))


@pytest.fixture(params=[True, False], ids=["shared", "apart"])
def remote(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Made:
    monkeypatch.setattr("mmedpo.runtime.workers.crew.RayWorkers", WorkerHere)
    monkeypatch.setattr(WorkerHere, "sees_the_run", request.param)
    return make(tmp_path, "engine=ray")


def test_a_worker_gives_what_the_runs_own_process_gives(local: Made, remote: Made) -> None:
    assert remote.pairs == local.pairs
    assert remote.pixels() == local.pixels()
    assert remote.values == local.values


def test_images_come_as_bytes_where_the_worker_does_not_see_the_runs_folder(remote: Made) -> None:
    sent = [sha256 for report in WorkerHere.reports for sha256 in report.harvest.images]
    assert bool(sent) != WorkerHere.sees_the_run
    assert set(sent) <= remote.pixels().keys()
    assert len(set(sent)) == len(sent)


def test_endpoints_are_asked_by_the_runs_own_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmedpo.runtime.workers.crew.RayWorkers", WorkerHere)
    monkeypatch.setattr(WorkerHere, "sees_the_run", True)
    with fake_endpoint(lambda request, times: wrong_answer(request)) as server:
        asker = f"{{use: gpt4o-hallucination, model: m, base_url: '{server.url}', samples: 1}}"
        make(tmp_path, "engine=ray", "localize=[{use: annotated}]", f"disprefer=[{asker}, {{use: lesion-noise}}]")
    assert server.bodies
    assert [work.part.use for work in WorkerHere.works] == [
        "annotated",
        "lesion-noise",
        "med-llm-vote",
        "detector-confidence",
    ]
    calls = json.loads((tmp_path / "run" / "run.json").read_text())["spent"]
    assert calls["m"]["calls"] == len(server.bodies), "the run counts what it pays"


def test_answers_are_read_from_the_runs_journal_where_a_dispreference_has_another_option(
    local: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmedpo.runtime.workers.crew.RayWorkers", WorkerHere)
    monkeypatch.setattr("mmedpo.models.backbone.TransformersBackbone.answer", None)
    shutil.copytree(local.folder, tmp_path, dirs_exist_ok=True)
    make(tmp_path, "engine=ray", "disprefer.0.least=0.4")
    assert any(report.value for report in WorkerHere.reports)
    assert not any(report.harvest.values for report in WorkerHere.reports)


@dataclass(frozen=True)
class OddWork(SliceWork[str]):
    """Do what an item says."""

    def do(self, opened: StageParts, some: Sequence[str]) -> Any:
        for item in some:
            if item == "divide":
                return 1 / 0
            if item == "broken":
                raise DataError("film 7 is broken")
            if item == "odd":
                raise OddError(lambda: 1)
            if item == "tell":
                print("not for the user", file=sys.stderr)
                print_note("film 7 is upside down")
            if item == "write":
                Path("written.txt").write_text("a finding")
        return list(some)


class OddError(Exception):
    """An error that cannot be pickled."""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunContext]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r.yaml").write_text(RECIPE.format(folder=tmp_path))
    journal = Journal(tmp_path / "journal.sqlite")
    yield RunContext(load_recipe(tmp_path / "r.yaml"), tmp_path / "run", journal, lambda event: None)
    journal.close()


@pytest.fixture
def work_on(run: RunContext) -> Iterator[Callable[..., SliceReport]]:
    """Return what has a worker do a slice of odd work."""
    with ExitStack() as stack:

        def work_on(*items: str, restricted: bool = False) -> SliceReport:
            worker = stack.enter_context(closing(WorkerHere(run)))
            return worker.do(OddWork(run.recipe.backbone, "evaluate.max_new_tokens"), items, restricted=restricted)

        yield work_on


def test_what_a_part_raises_names_it_and_keeps_its_traceback(work_on: Callable[..., SliceReport]) -> None:
    failure = work_on("divide").value
    assert isinstance(failure.error, PluginError)
    assert re.fullmatch(
        r"backbone 'phantom' of mmedpo \S+ failed: ZeroDivisionError: division by zero .*", str(failure.error)
    )
    assert f'File "{__file__}", line' in failure.trace
    assert "return 1 / 0" in failure.trace


def test_an_error_with_a_reason_is_handed_over_as_it_is(work_on: Callable[..., SliceReport]) -> None:
    failure = work_on("broken").value
    assert type(failure.error) is DataError
    assert (str(failure.error), failure.trace) == ("film 7 is broken", "")


def test_on_a_node_that_does_not_see_the_run_an_error_says_so(
    work_on: Callable[..., SliceReport], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(WorkerHere, "sees_the_run", False)
    told = str(work_on("broken").value.error)
    assert told.startswith(f"film 7 is broken (on node {socket.gethostname()}, which does not see ")


def test_an_error_that_cannot_be_sent_is_told_in_words(work_on: Callable[..., SliceReport]) -> None:
    failure = work_on("odd").value
    assert isinstance(failure.error, PluginError)
    assert "failed: OddError: <function" in str(failure.error)


def test_notes_go_to_the_user_and_what_else_is_printed_does_not(work_on: Callable[..., SliceReport]) -> None:
    report = work_on("tell", "tell")
    assert report.notes == ["film 7 is upside down"] * 2
    assert report.value == ["tell", "tell"]


@pytest.mark.parametrize(("restricted", "mode"), [(True, 0o600), (False, 0o644)])
def test_what_a_worker_writes_of_restricted_data_is_its_owners_alone(
    work_on: Callable[..., SliceReport], tmp_path: Path, restricted: bool, mode: int
) -> None:
    before = os.umask(0o022)
    try:
        work_on("write", restricted=restricted)
    finally:
        os.umask(before)
    assert (tmp_path / "written.txt").stat().st_mode & 0o777 == mode


def test_a_worker_leaves_no_file_of_its_own(run: RunContext, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    places = os.getcwd(), run.folder, run.journal.images
    worker = Worker(WorkerSetup(run.loaded, None, *places, ".marker", {}, 1, own), lambda keys: {})
    worker.start(1)
    assert list(own.iterdir())
    worker.stop()
    assert not list(own.iterdir())


def test_a_node_that_does_not_see_where_the_run_was_started_is_told_of(run: RunContext, tmp_path: Path) -> None:
    places = str(tmp_path / "elsewhere"), run.folder, run.journal.images
    failure = Worker(WorkerSetup(run.loaded, None, *places, ".marker", {}, 1, None), lambda keys: {}).start(1)
    assert isinstance(failure, SliceFailure)
    assert f"node {socket.gethostname()} does not see {tmp_path / 'elsewhere'}" in str(failure.error)
