"""What a scan finds of what is planted in every kind of file, what it misses, and what it takes for one wrongly."""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
from dicom_films import write
from planted import KEY, ONLY_LISTED, ONLY_POSSIBLE, PLANTED, WRITERS, plant
from run_folder import write_run
from typer.testing import CliRunner

from mmedpo.cli.main import app
from mmedpo.errors import RecipeError
from mmedpo.scan.scan import ScanResult, scan_run
from mmedpo.store.journal import Journal

pytest.importorskip("presidio_analyzer", reason="the extra `scan` is not installed")


def found(result: ScanResult, least: str) -> dict[str, set[str]]:
    """Return in which kinds of file each of the planted was found."""
    texts = {
        kind: [one.text for one in result.at_least(least) if one.file == f"run/{name}"]
        for kind, (name, _) in WRITERS.items()
    }
    return {
        planted: {kind for kind, some in texts.items() if any(text in value or value in text for text in some)}
        for planted, (_, value) in PLANTED.items()
    }


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("planted") / "run"
    plant(folder)
    return folder


@pytest.fixture(scope="module")
def by_form(planted: Path) -> ScanResult:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PACS_TOKEN", KEY)
        return scan_run(planted)


def test_what_has_a_form_is_found_in_every_kind_of_file(by_form: ScanResult) -> None:
    likely, possible = found(by_form, "likely"), found(by_form, "possible")
    for name in PLANTED:
        everywhere = set(WRITERS)
        assert likely[name] == (set() if name in ONLY_LISTED | ONLY_POSSIBLE else everywhere), name
        assert possible[name] == (set() if name in ONLY_LISTED else everywhere), name
    assert by_form.files == len(WRITERS)
    assert not by_form.unread


def test_what_is_listed_is_found_in_every_kind_of_file(planted: Path, tmp_path: Path) -> None:
    listed = tmp_path / "patients.csv"
    listed.write_text("patient_name,mrn,date_of_birth\nThornton^Grace,77310284,2019-07-18\nJorg Muller,,\n")
    met = found(scan_run(planted, listed), "likely")
    for name in ONLY_LISTED | ONLY_POSSIBLE:
        assert met[name] == set(WRITERS), name


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Return a run on a film and a table that name people, of whom one stands in a question."""
    write(tmp_path / "films/a.dcm", PatientName="Baranov^Igor", AccessionNumber="ACC8821")
    (tmp_path / "rows.csv").write_text("image,question,mrn\na.dcm,Where?,99120771\n")
    folder = write_run(tmp_path / "runs/mine")
    record = json.loads((folder / "run.json").read_text())
    record["recipe"]["data"] = [{"use": "dicom", "root": str(tmp_path / "films"), "table": str(tmp_path / "rows.csv")}]
    record["recipe"]["evaluate"]["data"] = {"use": "csv", "file": "/gone/rows.csv"}
    (folder / "run.json").write_text(json.dumps(record))
    with (folder / "pairs.jsonl").open("a") as file:
        file.write(json.dumps({"question": "as in 99120771 and ACC8821?"}) + "\n")
    (folder / "igor baranov.txt").write_text("")
    journal = Journal(tmp_path / "runs/journal.sqlite")
    journal.put("key", ["Baranov, Igor"])
    journal.close()
    return folder


def test_what_the_data_say_of_people_is_looked_for_in_run_and_journal(run: Path) -> None:
    result = scan_run(run)
    told = {(one.file, one.text, one.why) for one in result.at_least("certain")}
    rows = os.path.relpath(run.parent.parent / "rows.csv")
    assert {
        ("mine/pairs.jsonl", "99120771", f"{rows}, mrn"),
        ("mine/pairs.jsonl", "ACC8821", "AccessionNumber of a film"),
        ("mine/igor baranov.txt", "igor baranov", "PatientName of a film"),
        ("journal.sqlite", "Baranov, Igor", "PatientName of a film"),
    } <= told
    assert result.gone == ["/gone/rows.csv"]


def test_the_command_masks_what_it_found_and_ends_with_4(run: Path) -> None:
    done = CliRunner().invoke(app, ["scan", str(run)])
    assert done.exit_code == 4
    assert "9… (8 characters)" in done.output
    assert "99120771" not in done.output
    shown = CliRunner().invoke(app, ["scan", str(run), "--json", "--show", "--least", "certain"])
    assert "99120771" in [one["value"] for one in json.loads(shown.output)["found"]]


def test_a_clean_folder_ends_with_0_and_what_could_not_be_read_with_4(tmp_path: Path) -> None:
    (tmp_path / "clean").mkdir()
    (tmp_path / "clean/a.txt").write_text("Is there a mass of 3 cm, grade 2, since 3 days?")
    (tmp_path / "clean/weights.pt").write_bytes(b"\0" * 99)
    done = CliRunner().invoke(app, ["scan", str(tmp_path / "clean")])
    assert done.exit_code == 0, done.output
    assert "nothing found in 2 files" in done.output
    assert "weights.pt" in done.output
    (tmp_path / "clean/broken.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing more")
    done = CliRunner().invoke(app, ["scan", str(tmp_path / "clean")])
    assert (done.exit_code, "broken.png: is a broken image" in done.output) == (4, True)


def test_a_scan_asks_nothing_of_the_network(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*asked: Any, **more: Any) -> Any:
        raise AssertionError(f"asked the network for {asked}")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert scan_run(run).identifiers


def test_a_model_for_names_is_one_that_is_installed(run: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="is no spaCy model that is installed here"):
        scan_run(run, model="en_core_web_none")
    import spacy

    model = spacy.blank("en")
    model.add_pipe("entity_ruler").add_patterns([{"label": "PERSON", "pattern": "Grace Thornton"}])  # type: ignore[attr-defined]
    model.to_disk(tmp_path / "model")
    (tmp_path / "note.txt").write_text("as Grace Thornton told us")
    assert not scan_run(tmp_path / "note.txt").identifiers
    (one,) = scan_run(tmp_path / "note.txt", model=str(tmp_path / "model")).identifiers
    assert (one.text, one.level) == ("Grace Thornton", "likely")


def test_without_presidio_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "presidio_analyzer", None)
    done = CliRunner().invoke(app, ["scan", str(tmp_path)])
    assert done.exit_code == 2
    assert 'pip install "mmedpo[scan]"' in done.stderr
