"""Films in DICOM form whose header names a patient."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pydicom = pytest.importorskip("pydicom")

NAME, NUMBER, BORN, UID = "Mustermann^Erika", "PAT-4711", "19640812", "1.2.826.0.1.3680043.8.498.77"
VALUES = np.arange(64, dtype=np.uint16).reshape(8, 8) * 16


def write(path: Path, values: np.ndarray[Any, Any] = VALUES, **tags: Any) -> Path:
    """Write a DICOM film whose header names a patient."""
    film = pydicom.Dataset()
    film.file_meta = pydicom.dataset.FileMetaDataset()
    film.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    film.file_meta.MediaStorageSOPClassUID = film.SOPClassUID = pydicom.uid.DigitalXRayImageStorageForPresentation
    film.file_meta.MediaStorageSOPInstanceUID = film.SOPInstanceUID = UID
    film.PatientName, film.PatientID, film.PatientBirthDate = NAME, NUMBER, BORN
    film.Modality, film.BodyPartExamined, film.ViewPosition = "DX", "CHEST", "PA"
    film.Rows, film.Columns = values.shape[:2]
    film.SamplesPerPixel, film.PhotometricInterpretation = 1, "MONOCHROME2"
    film.BitsAllocated = values.dtype.itemsize * 8
    film.BitsStored, film.HighBit, film.PixelRepresentation = film.BitsAllocated, film.BitsAllocated - 1, 0
    if values.dtype == np.uint16:
        film.BitsStored, film.HighBit = 12, 11
    film.PixelData = values.tobytes()
    for keyword, value in tags.items():
        setattr(film, keyword, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    film.save_as(path, enforce_file_format=True)
    return path
