"""What is read of a DICOM header: nothing that names a patient leaves this module but to tell patients apart."""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmedpo import DataError, first_line, require_file

if TYPE_CHECKING:
    from pydicom import Dataset

_TAGS = ["NumberOfFrames", "PatientID", "BurnedInAnnotation", "Modality", "BodyPartExamined", "ViewPosition"]
_FIRST = (2, 8)  # the groups that a film begins with: file meta information, or that of the study
_EDGE = 2**16


@dataclass(frozen=True)
class DicomFilm:
    """A file of one frame, and what of its header the reader goes by."""

    path: Path
    content: str  # identifies the file by its content; not to be guessed from anything the header says
    patient: str = field(repr=False)  # in clear: never to be written anywhere
    burnt_in: bool
    modality: str
    body_part: str
    view: str


def read_header(path: Path) -> DicomFilm:
    """Read what is needed of a header. Raises DataError for a file of several frames, or that is no DICOM file."""
    header = read_dataset(path, pixels=False)
    try:
        frames, patient, burnt_in, *told = (_header_text(header, keyword) for keyword in _TAGS)
    except Exception as error:  # a value that is none is found when it is asked for
        raise DataError(f"{path}: its header is broken ({type(error).__name__}: {first_line(error)})") from error
    if frames not in ("", "0", "1"):
        raise DataError(f"{path}: has {frames} frames; save the frame that is meant as a file of its own")
    return DicomFilm(path, content_id(path), patient, burnt_in.upper() == "YES", *told)


def read_dataset(path: Path, pixels: bool) -> Dataset:
    """Read a DICOM file, all of it or what `read_header` needs. Raises DataError that names it."""
    pydicom = _import_pydicom()
    tags = None if pixels else _TAGS
    require_file(path, str(path))
    bare = _begins_with_a_tag(path)
    try:
        with warnings.catch_warnings():  # of oddities that do no harm; truncation shows in the pixels
            warnings.simplefilter("ignore")
            if not bare:
                _refuse_deflated(path)
            return _add_transfer_syntax(
                pydicom.dcmread(path, stop_before_pixels=not pixels, specific_tags=tags, force=bare)
            )
    except DataError:
        raise
    except pydicom.errors.InvalidDicomError:
        hint = "write it anew as one (DICOM part 10), or read it as an image where it is one"
        raise DataError(f"{path}: is no DICOM file, or one cut off within its first bytes; {hint}") from None
    except Exception as error:  # whatever a broken file makes the parser stumble over
        raise DataError(f"{path}: is broken or truncated ({type(error).__name__}: {first_line(error)})") from error


def _refuse_deflated(path: Path) -> None:
    """Raise DataError for a file that is packed as a whole: pydicom unpacks it at once, however much comes out."""
    from pydicom.filereader import read_file_meta_info
    from pydicom.uid import DeflatedExplicitVRLittleEndian

    if read_file_meta_info(path).get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
        raise DataError(f"{path}: is deflated as a whole, as films are not; unpack it first: dcmconv +te OLD NEW")


def _begins_with_a_tag(path: Path) -> bool:
    """Tell whether a file begins with its first tag, without the 128 bytes and DICM that belong before it.

    The group of a first tag is 2 or 8, and its element is small; text and images begin with larger numbers.
    """
    with path.open("rb") as file:
        head = file.read(132)
    if len(head) < 132 or head[128:] == b"DICM":
        return False
    return any(
        int.from_bytes(head[:2], order) in _FIRST and int.from_bytes(head[2:4], order) < 0x100
        for order in ("little", "big")
    )


def _add_transfer_syntax(film: Any) -> Dataset:
    """Note how a film without file meta information is written, as the parser found out."""
    from pydicom import uid
    from pydicom.dataset import FileMetaDataset

    if not getattr(film, "file_meta", None):
        film.file_meta = FileMetaDataset()
    if "TransferSyntaxUID" not in film.file_meta:
        implicit, little = film.original_encoding
        explicit = uid.ExplicitVRLittleEndian if little else uid.ExplicitVRBigEndian
        film.file_meta.TransferSyntaxUID = uid.ImplicitVRLittleEndian if implicit else explicit
    return film


def content_id(path: Path) -> str:
    """Return an id of a file's content: a hash of its size and both ends, header and last pixels."""
    size = path.stat().st_size
    head = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        head.update(file.read(_EDGE))
        file.seek(max(0, size - _EDGE))
        head.update(file.read())
    return head.hexdigest()[:16]


def _header_text(header: Dataset, keyword: str) -> str:
    value = header.get(keyword)
    return "" if value is None else str(value).strip()


def _import_pydicom():  # type: ignore[no-untyped-def]
    try:
        import pydicom
    except ImportError:
        raise DataError('DICOM files are read by pydicom: pip install "mmedpo[dicom]"') from None
    return pydicom
