"""Where identifiers are known from: a list of the user's, a run's own films and tables, the environment."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmedpo.core.privacy import keys_in_use
from mmedpo.data.csv_files import csv_rows
from mmedpo.data.json_files import json_rows, jsonl_rows
from mmedpo.data.tables import TableRow
from mmedpo.data.text_files import file_text
from mmedpo.errors import DataError
from mmedpo.scan.image_pieces import walk_tags
from mmedpo.scan.known import KnownIdentifier, parse_date
from mmedpo.store.run_files.reader import RunFiles

#: names of columns and tags -> the kind of what they hold; the first that is found in a name decides
COLUMNS = {
    "name": re.compile(
        r"^name$|(patient|person|first|last|given|family|full|birth) ?name|surname|physician|doctor|radiologist", re.I
    ),
    "date": re.compile(r"(?<!up)date\b|birth|\bdob\b", re.I),
    "phone": re.compile(r"phone|mobile|\bfax\b", re.I),
    "e-mail": re.compile(r"\be[- ]?mail", re.I),
    "address": re.compile(r"address|street", re.I),
    "record number": re.compile(
        r"\bmrn\b|patient|subject|accession|\bssn\b|insurance|\bnhs\b|record (no|num|id)|study (id|uid)", re.I
    ),
}
PERSON_TAGS = (
    "PatientID", "OtherPatientIDs", "AccessionNumber", "StudyID", "PatientAddress", "PatientTelephoneNumbers",
    "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "PatientName", "OtherPatientNames", "PatientBirthName",
    "ReferringPhysicianName", "PerformingPhysicianName", "OperatorsName", "PhysiciansOfRecord", "PatientBirthDate",
    "NameOfPhysiciansReadingStudy", "RequestingPhysician", "StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate",
)  # fmt: skip
KEY_NAMES = re.compile(r"KEY|TOKEN|SECRET|PASSW|CREDENTIAL", re.I)
FILMS, TABLES = (".dcm", ".dicom"), (".csv", ".tsv", ".jsonl", ".json")
SHORTEST_KEY = 8


def read_list(path: Path) -> Iterator[KnownIdentifier]:
    """Yield the identifiers that a user lists: one a line, or a CSV with a header, every cell of which is one.

    Raises DataError when the file cannot be read or lists nothing.
    """
    count = 0
    if path.suffix.lower() in (".csv", ".tsv"):
        for row in csv_rows(path, "\t" if path.suffix.lower() == ".tsv" else ","):
            for one in _of_row(row, every=True):
                count += 1
                yield one
    else:
        for number, line in enumerate(file_text(path).split("\n"), 1):
            if (value := line.strip()) and not value.startswith("#"):
                count += 1
                yield KnownIdentifier(guess_kind(value), value, f"{path}:{number}")
    if not count:
        raise DataError(f"{path}: lists no identifiers; one a line, or a CSV with a header")


def guess_kind(value: str) -> str:
    """Return what a listed value seems to be."""
    if parse_date(value):
        return "date"
    if "@" in value:
        return "e-mail"
    return "record number" if any(map(str.isdigit, value)) else "name"


def _of_row(row: TableRow, every: bool = False) -> Iterator[KnownIdentifier]:
    """Yield the identifiers of a row: all, or those whose column's name says so; a name in two parts whole too."""
    names = []
    for column, value in row.values.items():
        kind = find_kind(column) or (guess_kind(str(value)) if every else "")
        if kind and isinstance(value, str | int) and not isinstance(value, bool) and str(value).strip():
            kind = "record number" if kind == "name" and any(map(str.isdigit, str(value))) else kind
            names += [str(value)] if kind == "name" else []
            yield KnownIdentifier(kind, str(value).strip(), f"{row.place.rpartition(':')[0] or row.place}, {column}")
    if len(names) == 2:
        yield KnownIdentifier("name", " ".join(names), row.place.rpartition(":")[0] or row.place)


def find_kind(column: str) -> str:
    """Return what a column or a tag of this name holds of people; "" for nothing."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])|_", " ", column)
    return next((kind for kind, names in COLUMNS.items() if names.search(words)), "")


def read_environment(recipe: Mapping[str, Any]) -> Iterator[KnownIdentifier]:
    """Yield the keys of the environment: what a recipe's endpoints take, and whatever has the name of one."""
    for value in keys_in_use(recipe):
        yield KnownIdentifier("key", value, "the key of an endpoint", exact=True)
    for name, value in os.environ.items():
        if KEY_NAMES.search(name) and len(value) >= SHORTEST_KEY and not os.path.exists(value):
            yield KnownIdentifier("key", value, f"${name}", exact=True)


def read_sources(files: RunFiles, gone: list[str]) -> Iterator[KnownIdentifier]:
    """Yield what the films and tables of a run's data say of people; paths that are no longer there go to `gone`."""
    recipe = files.run.recipe
    parts = [*recipe.get("data", ()), (recipe.get("evaluate") or {}).get("data")]
    for text in dict.fromkeys(_texts(parts)):
        place = Path(os.path.relpath(files.places.of(text)))
        if place.is_dir():
            for inner in sorted(place.rglob("*")):
                yield from _read_source(inner)
        elif place.exists():
            yield from _read_source(place)
        elif "/" in text and not text.startswith(("http:", "https:")):
            gone.append(text)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    else:
        inner = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
        yield from (text for key, item in inner if key != "use" for text in _texts(item))


def _read_source(path: Path) -> Iterator[KnownIdentifier]:
    """Yield what a film or a table says of people; another file, and one that is broken, says nothing."""
    if path.suffix.lower() in FILMS:
        yield from _read_film(path)
    elif path.suffix.lower() in TABLES and path.is_file():
        try:
            for row in _rows(path):
                yield from _of_row(row)
        except DataError:
            return


def _rows(path: Path) -> Iterator[TableRow]:
    ending = path.suffix.lower()
    if ending == ".jsonl":
        return jsonl_rows(path)
    return json_rows(path) if ending == ".json" else csv_rows(path, "\t" if ending == ".tsv" else ",")


def _read_film(path: Path) -> Iterator[KnownIdentifier]:
    try:
        import pydicom
    except ImportError:
        raise DataError('DICOM files are read by pydicom: pip install "mmedpo[dicom]"') from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            film = pydicom.dcmread(path, stop_before_pixels=True, force=True, specific_tags=list(PERSON_TAGS))
            told = list(walk_tags(film))
    except Exception:  # whatever a broken file makes the parser stumble over: it was no film of the run
        return
    for tag, value in told:
        if tag in PERSON_TAGS and not value.startswith("1.2.840.10008."):
            yield KnownIdentifier(find_kind(tag) or "record number", value, f"{tag} of a film")
