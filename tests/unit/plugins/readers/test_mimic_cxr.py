"""MIMIC-CXR as PhysioNet lays it out, written here with made-up reports."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest
from mmedpo_plugins.readers.mimic_cxr import MimicCxrReader
from PIL import Image

from mmedpo import Case, DataError, Drop, Remark

REPORT = """                                 FINAL REPORT
 EXAMINATION:  CHEST (PA AND LAT)

 INDICATION:  ___-year-old with cough.

 COMPARISON:  None.

 FINDINGS:

 The lungs are clear.  The heart is
 of normal size.

 IMPRESSION:

 No acute process.
"""
FILMS = {  # dicom_id: (subject, study, split, view)
    "02aa804e-bde0afdd": ("10000032", "50414267", "train", "LATERAL"),
    "174413ec-4ec4c1f7": ("10000032", "50414267", "train", "AP"),
    "2a2277a9-b0ded155": ("10000032", "50414267", "train", "PA"),
    "68b5c4b1-227d0485": ("10000764", "57375967", "test", "PA"),
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    split, metadata = ["dicom_id,study_id,subject_id,split"], ["dicom_id,subject_id,study_id,ViewPosition,Rows"]
    for dicom, (subject, study, part, view) in FILMS.items():
        split.append(f"{dicom},{study},{subject},{part}")
        metadata.append(f"{dicom},{subject},{study},{view},8")
        folder = tmp_path / "files" / f"p{subject[:2]}" / f"p{subject}"
        (folder / f"s{study}").mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8)).save(folder / f"s{study}" / f"{dicom}.jpg")
        (folder / f"s{study}.txt").write_text(REPORT)
    (tmp_path / "mimic-cxr-2.0.0-split.csv").write_text("\n".join(split))
    (tmp_path / "mimic-cxr-2.0.0-metadata.csv.gz").write_bytes(gzip.compress("\n".join(metadata).encode()))
    return tmp_path


def cases(root: Path, **options: Any) -> list[Case]:
    items = list(MimicCxrReader(root=root, **options).read())
    return [item for item in items if isinstance(item, Case)]


def test_a_study_becomes_a_restricted_case_with_its_best_view(root: Path) -> None:
    (case,) = cases(root)
    assert (case.id, case.notes["view"], case.group) == ("2a2277a9-b0ded155", "PA", "10000032")
    assert (case.answer, case.kind) == ("The lungs are clear. The heart is of normal size.", "report")
    assert case.restricted
    assert not MimicCxrReader.public


def test_each_film_can_be_a_case_and_views_are_chosen(root: Path) -> None:
    assert [case.notes["view"] for case in cases(root, films="each")] == ["PA", "AP"]
    assert [case.notes["view"] for case in cases(root, views=["AP", "PA"])] == ["AP"]
    assert [case.notes["view"] for case in cases(root, views=[], films="each")] == ["LATERAL", "AP", "PA"]


def test_a_view_that_no_film_has_is_named(root: Path) -> None:
    with pytest.raises(DataError, match="no film has the view lateral; there are: AP, LATERAL, PA"):
        cases(root, views=["PA", "lateral"])


def test_all_films_of_a_study_can_be_one_case_the_best_view_first(root: Path) -> None:
    (case,) = cases(root, films="all", views=["PA", "AP", "LATERAL"])
    assert (case.id, case.notes["view"]) == ("2a2277a9-b0ded155", "PA, AP, LATERAL")
    assert [Path(image.path).stem for image in case.images] == [
        "2a2277a9-b0ded155",
        "174413ec-4ec4c1f7",
        "02aa804e-bde0afdd",
    ]
    (root / "files/p10/p10000032/s50414267/02aa804e-bde0afdd.jpg").unlink()
    assert len(cases(root, films="all")[0].images) == 2
    assert cases(root, films="all", views=[], missing="skip") == []


def test_the_split_is_the_official_one(root: Path) -> None:
    assert [case.id for case in cases(root, split="test")] == ["68b5c4b1-227d0485"]
    assert cases(root, split="validate") == []


@pytest.mark.parametrize(
    ("named", "taken"),
    [
        ("50414267", ["PA", "AP"]),
        ("s50414267", ["PA", "AP"]),
        ("174413ec-4ec4c1f7", ["AP"]),
        ("174413ec-4ec4c1f7\ns50414267", ["PA", "AP"]),
    ],
)
def test_a_file_names_studies_or_single_films(root: Path, named: str, taken: list[str]) -> None:
    (root / "studies.txt").write_text(f"{named}\n68b5c4b1-227d0485\n")
    told = list(MimicCxrReader(root=root, films="each", studies=root / "studies.txt").read())
    assert [item.notes["view"] for item in told if isinstance(item, Case)] == taken
    why = 'named in studies.txt, and not among the films of split train with the views PA, AP: "68b5c4b1-227d0485"'
    assert told[-1] == Drop("68b5c4b1-227d0485", why)
    assert len(cases(root, split="all", studies=root / "studies.txt")) == 2


def test_a_study_gets_the_question_that_its_id_says(root: Path) -> None:
    asked = {case.question for case in cases(root, films="each", question=["Describe.", "Report.", "Explain."])}
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("section", "answer"),
    [
        ("impression", "No acute process."),
        ("both", "The lungs are clear. The heart is of normal size.\nNo acute process."),
    ],
)
def test_the_answer_is_the_section_that_is_asked_for(root: Path, section: str, answer: str) -> None:
    assert cases(root, section=section)[0].answer == answer


def test_a_report_without_the_section_is_dropped_with_the_reason(root: Path) -> None:
    (root / "files/p10/p10000032/s50414267.txt").write_text(" FINAL REPORT\n AP CHEST:  Clear lungs.\n")
    assert list(MimicCxrReader(root=root).read()) == [Drop("2a2277a9-b0ded155", "the report has no section findings")]


def test_reports_may_lie_in_a_folder_of_their_own(root: Path, tmp_path: Path) -> None:
    (tmp_path / "reports/files/p10/p10000764").mkdir(parents=True)
    text = REPORT.replace("clear", "dark")
    (tmp_path / "reports/files/p10/p10000764/s57375967.txt").write_text(text)
    assert "dark" in cases(root, split="test", reports=tmp_path / "reports")[0].answer


@pytest.mark.parametrize(
    ("gone", "error", "reason"),
    [
        ("s50414267/2a2277a9-b0ded155.jpg", r"split\.csv:4: .*: no image p10/", "the image is missing"),
        ("s50414267.txt", r"s50414267\.txt: there is no such file", "the report is missing"),
    ],
)
def test_what_is_missing_is_named_or_left_out(root: Path, gone: str, error: str, reason: str) -> None:
    (root / "files/p10/p10000032" / gone).unlink()
    with pytest.raises(DataError, match=error):
        cases(root)
    assert list(MimicCxrReader(root=root, missing="skip").read()) == [Drop("2a2277a9-b0ded155", reason)]


def test_a_split_file_that_leads_elsewhere_is_refused(root: Path) -> None:
    file = root / "mimic-cxr-2.0.0-split.csv"
    text = file.read_text()
    file.write_text(text.replace(",50414267,", ",../../etc,"))
    with pytest.raises(DataError, match=r"split\.csv:\d: subject_id and study_id must be numbers"):
        cases(root)
    file.write_text(text.replace("2a2277a9-b0ded155", "../../2a"))
    with pytest.raises(DataError, match=r"split\.csv:\d: the image .* is outside the folder"):
        cases(root, views=[], films="each")


def test_a_file_of_physionet_that_is_missing_is_named(root: Path) -> None:
    (root / "mimic-cxr-2.0.0-split.csv").unlink()
    with pytest.raises(DataError, match=r"neither mimic-cxr-2\.0\.0-split\.csv nor .*\.gz; see docs/guides/data\.md"):
        cases(root)


@pytest.mark.parametrize(
    ("text", "section", "remark"),
    [
        ("FINDINGS: A.\n COMPARISON: None.\n B.", "findings", "the section findings ends at the heading COMPARISON"),
        ("FINDINGS: A.\n FINDINGS: B.", "findings", "the report has several sections findings, and the last is taken"),
        (
            "IMPRESSION: A.\n IMPRESSION: B.",
            "both",
            "the report has several sections impression, and the last is taken",
        ),
    ],
)
def test_a_report_that_is_shortened_is_counted(root: Path, text: str, section: str, remark: str) -> None:
    (root / "files/p10/p10000032/s50414267.txt").write_text(text)
    told, case = MimicCxrReader(root=root, section=section).read()  # type: ignore[arg-type]
    assert isinstance(case, Case)
    assert told == Remark(case.id, remark)


def test_a_usual_report_is_not_called_shortened(root: Path) -> None:
    assert all(isinstance(item, Case) for item in MimicCxrReader(root=root, section="both").read())
