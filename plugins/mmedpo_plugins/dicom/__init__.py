"""DICOM films: their headers, without what names a patient, and their pixels as a film reader shows them."""
