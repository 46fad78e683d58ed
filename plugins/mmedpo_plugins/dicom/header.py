"""What is read of a DICOM header: nothing that names a patient leaves this module but to tell patients apart."""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mmedpo import DataError

if TYPE_CHECKING:
    from pydicom import Dataset

_TAGS = ["PatientID", "BurnedInAnnotation", "NumberOfFrames", "Modality", "BodyPartExamined", "ViewPosition"]
_EDGE = 2**16


@dataclass(frozen=True)
class Film:
    """A file of one frame, and what of its header the reader goes by."""

    path: Path
    content: str  # identifies the file by its content; not to be guessed from anything the header says
    patient: str = field(repr=False)  # in clear: never to be written anywhere
    burnt_in: bool
    modality: str
    body_part: str
    view: str


def read_header(path: Path) -> Film:
    """Read what is needed of a header. Raises DataError for a file of several frames, or that is no DICOM file."""
    header = read_dataset(path, pixels=False)
    frames = _word(header, "NumberOfFrames")
    if frames not in ("", "0", "1"):
        raise DataError(f"{path}: has {frames} frames; save the frame that is meant as a file of its own")
    return Film(
        path,
        content_id(path),
        _word(header, "PatientID"),
        _word(header, "BurnedInAnnotation").upper() == "YES",
        _word(header, "Modality"),
        _word(header, "BodyPartExamined"),
        _word(header, "ViewPosition"),
    )


def read_dataset(path: Path, pixels: bool) -> Dataset:
    """Read a DICOM file, all of it or what `read_header` needs. Raises DataError that names it."""
    pydicom = _pydicom()
    tags = None if pixels else _TAGS
    try:
        with warnings.catch_warnings():  # of oddities that do no harm; truncation shows in the pixels
            warnings.simplefilter("ignore")
            return pydicom.dcmread(path, stop_before_pixels=not pixels, specific_tags=tags)
    except pydicom.errors.InvalidDicomError:
        raise DataError(f"{path}: is no DICOM file, or one cut off within its first bytes") from None
    except Exception as error:  # whatever a broken file makes the parser stumble over
        raise DataError(f"{path}: is broken or truncated ({type(error).__name__}: {error})") from error


def content_id(path: Path) -> str:
    """Return an id of a file's content: a hash of its size and both ends, header and last pixels."""
    size = path.stat().st_size
    head = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        head.update(file.read(_EDGE))
        file.seek(max(0, size - _EDGE))
        head.update(file.read())
    return head.hexdigest()[:16]


def _word(header: Dataset, keyword: str) -> str:
    value = header.get(keyword)
    return "" if value is None else str(value).strip()


def _pydicom():  # type: ignore[no-untyped-def]
    try:
        import pydicom
    except ImportError:
        raise DataError('DICOM files are read by pydicom: pip install "mmedpo[dicom]"') from None
    return pydicom
