"""What a scan finds of what is planted in every kind of file, what it misses, and what it takes for one wrongly."""

from __future__ import annotations

from pathlib import Path

import pytest
from planted import KEY, ONLY_LISTED, ONLY_POSSIBLE, PLANTED, WRITERS, plant

from mmedpo.scan.scan import ScanResult, scan_run

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
