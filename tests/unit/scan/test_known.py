"""In which forms an identifier that is known is found, and what is none."""

from __future__ import annotations

import pytest

from mmedpo.scan.known import KnownIdentifier, KnownIdentifiers
from mmedpo.scan.patterns import hide_numbers
from mmedpo.scan.sources import find_kind, guess_kind


def found(kind: str, value: str, text: str) -> list[tuple[str, float]]:
    """Return what is found of one identifier in a text, and how sure it is."""
    matches = KnownIdentifiers([KnownIdentifier(kind, value, "list:1")]).find(text)
    return [(text[one.start : one.end], one.score) for one in matches if one.score >= 0.85 or one.score == 0.5]


@pytest.mark.parametrize(
    "text",
    [
        "MÜLLER, HANS", "Hans Müller", "hans muller", "Hans Mueller", "Müller^Hans^^Dr", "H. Müller", "Müller H",
        "film_of_Mueller-Hans.png", "Hans  Müller",
    ],
)  # fmt: skip
def test_a_name_is_found_in_any_order_case_and_spelling(text: str) -> None:
    assert max(score for _, score in found("name", "Müller^Hans", text)) == 0.95


def test_a_surname_alone_is_less_sure_and_needs_its_capital() -> None:
    assert found("name", "Young^Erika", "as Young had it") == [("Young", 0.5)]
    assert not found("name", "Young^Erika", "a young woman, Erikason, Youngs")


@pytest.mark.parametrize(
    "text",
    [
        "1956-03-12", "1956-03-12T09:30:00", "12.03.1956", "12.3.56", "3/12/1956", "03/12/56", "19560312",
        "12 March 1956", "19560312093000.00", "Mar 12, 1956", "12th of March 1956", "12-Mar-1956", "1956/3/12",
        "born_19560312.png",
    ],
)  # fmt: skip
@pytest.mark.parametrize("value", ["19560312", "1956-03-12", "12.03.1956"])
def test_a_date_is_found_in_each_form(value: str, text: str) -> None:
    assert [score for _, score in found("date", value, f"seen {text}, well")] == [0.95]


@pytest.mark.parametrize("text", ["box 12, 3, 56", "12.4.1956", "1956-03-123", "119560312", "March 1956"])
def test_what_only_looks_like_a_date_is_none(text: str) -> None:
    assert not found("date", "19560312", text)


def test_a_number_is_found_whole_with_or_without_zeros_and_marks() -> None:
    for text in ("MRN00482913", "482913", "film-00482913.png", "(00482913)"):
        assert found("record number", "00482913", text), text
    for text in ("1482913", "4829133", "48 2913"):
        assert not found("record number", "00482913", text), text
    assert found("record number", "123-45-6789", "ssn 123456789")
    assert found("record number", "PAT-4711", "pat 4711")


def test_a_key_is_found_as_it_is_written_alone() -> None:
    key = KnownIdentifiers([KnownIdentifier("key", "Zq81-xW33.aa", "$KEY", exact=True)])
    assert [one.why for one in key.find("with Zq81-xW33.aa, then")] == ["$KEY"]
    assert not list(key.find("with zq81-xw33.aa, then"))


def test_short_ones_are_counted_and_hashes_are_no_text() -> None:
    known = KnownIdentifiers([KnownIdentifier("name", "Li", "l"), KnownIdentifier("record number", "4711", "l")])
    assert (known.count, known.short) == (1, 1)
    digest = "f0e4" * 7 + "a4711b"
    assert list(known.find(digest))
    assert not list(known.find(hide_numbers(digest)))


@pytest.mark.parametrize(
    ("text", "stays"),
    [
        ("0.11111111111111116", False),
        ("12.3456789012345678", False),
        ("4111111111111111", True),
        ("030.12345678", True),
    ],
)
def test_a_computed_number_is_no_text_and_a_card_or_telephone_is(text: str, stays: bool) -> None:
    assert (hide_numbers(f"before: {text}") == f"before: {text}") is stays


def test_columns_and_tags_say_what_they_hold() -> None:
    named = {
        "name": "patient_name PatientName first_name ReferringPhysicianName",
        "date": "dob PatientBirthDate study_date",
        "record number": "mrn subject_id AccessionNumber patient",
        "phone": "phone",
        "e-mail": "e_mail email",
    }
    for kind, columns in named.items():
        assert {find_kind(column) for column in columns.split()} == {kind}
    for name in (
        "image_name",
        "question",
        "file_name",
        "answer",
        "updated",
        "label",
        "modality",
        "img_id",
        "class_name",
    ):
        assert find_kind(name) == "", name
    assert [guess_kind(one) for one in ("Jane Doe", "12345", "1956-03-12", "a@b.c")] == [
        "name", "record number", "date", "e-mail",
    ]  # fmt: skip
