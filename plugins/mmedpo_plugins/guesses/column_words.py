"""What columns are called by those who fill them: by role, the likelier words first, in several languages."""

from __future__ import annotations

import re
from unicodedata import combining, normalize

WORDS = {
    "image": (
        "image", "img", "bild", "film", "scan", "aufnahme", "rontgenbild", "roentgenbild", "foto", "photo", "picture",
        "imagen", "immagine", "imagem", "file", "datei", "filename", "dateiname", "bilddatei", "fichier", "path",
        "pfad", "dicom",
    ),
    "question": (
        "question", "frage", "query", "prompt", "instruction", "fragestellung", "pregunta", "domanda", "pergunta",
        "vraag", "fragetext", "q",
    ),
    "answer": (
        "answer", "antwort", "report", "befund", "response", "reponse", "respuesta", "risposta", "resposta",
        "antwoord", "findings", "finding", "beurteilung", "impression", "befundtext", "truth", "gt", "diagnosis",
        "diagnose", "caption", "description", "beschreibung", "text", "label", "target", "a",
    ),
    "group": (
        "group", "patient", "patientin", "subject", "pat", "pid", "patid", "person", "mrn", "patientennummer",
        "paciente", "paziente", "proband", "gruppe",
    ),
    "kind": ("kind", "type", "typ", "art", "fragetyp", "questiontype", "answertype"),
    "split": ("split", "fold", "set", "subset", "partition", "teilmenge", "menge"),
    "id": ("id", "qid", "key", "uid", "caseid", "fallnummer", "nr", "nummer", "number"),
    "boxes": ("boxes", "bboxes", "box", "bbox", "regions", "lesions"),
    "about": ("about", "labels", "findings"),
}  # fmt: skip

_PERSONAL = ("name", "vorname", "birth", "geb", "age", "alter", "sex", "geschlecht", "date", "datum", "dob")


def rate_name(role: str, column: str) -> float:
    """Return how well a column's name fits a role, from 0 to 1: whole or in part, and by how likely the word is."""
    whole, parts = _fold(column)
    words = WORDS[role]
    if role == "group" and (set(parts) & set(_PERSONAL) or "name" in whole or "geburt" in whole):
        return 0.0  # a group is written into the run, and a person's name or age should not be
    for word, weight in ((whole, 1.0), *((part, 0.7) for part in parts)):
        if word in words:
            return weight - words.index(word) / 100
    inside = (words.index(word) for word in words if len(word) > 3 and word in whole)
    return max((0.5 - place / 100 for place in inside), default=0.0)


def _fold(column: str) -> tuple[str, list[str]]:
    """Return a name without case, accents and marks: in one word, and in its parts."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", column)
    plain = "".join(char for char in normalize("NFKD", spaced.casefold()) if not combining(char))
    parts = re.findall(r"[a-z]+", plain)
    return "".join(parts), parts
