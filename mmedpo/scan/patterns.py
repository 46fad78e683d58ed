"""What identifiers look like: presidio's recognizers, and what medical texts and keys have of their own.

Nothing is fetched: presidio gets a blank pipeline, and its recognizers of mail and web addresses are not used, since
they load a list of domains from the network.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from mmedpo.errors import RecipeError
from mmedpo.scan.forms import FORMS
from mmedpo.scan.identifier import FileText, IdentifierMatch

if TYPE_CHECKING:
    from presidio_analyzer import AnalyzerEngine, EntityRecognizer

#: presidio's names of what its recognizers find, in our words
KINDS = {
    "CREDIT_CARD": "card number",
    "DATE_TIME": "date",
    "IBAN_CODE": "bank account",
    "PERSON": "name",
    "PHONE_NUMBER": "phone",
    "UK_NHS": "record number",
    "US_SSN": "social security number",
}
REGIONS = ("US", "GB", "DE")  # whose phone numbers are known without their country code
REMEMBERED = 8192  # texts: questions repeat
_LONG_HEX = re.compile(r"(?<![0-9A-Za-z])[0-9a-f]{32,}(?![0-9A-Za-z])")
_MEASURE = re.compile(r"(?<![\w.])(?:\d\.\d{9,}|\d{1,4}\.\d{13,})")  # a float as Python writes it, and no telephone
_WORTH = re.compile(
    r"\d\D{0,3}\d|[@^:=]|-----BEGIN|\b(?:Dr|Mr|Mrs|Ms|Miss|Prof|Herr|Frau|Mme)\b|[Nn]ame|[Bb]earer|\w[-_]\w"
)
_LONG_NUMBER = re.compile(r"(?:\d[ ()/+-]{0,2}){7}")


class PatternSearch:
    """Find identifiers by what they look like."""

    def __init__(self, model: str | None = None) -> None:
        """Build the recognizers; `model` is a spaCy model installed here, for names that nobody listed.

        Raises RecipeError where presidio or the model is missing.
        """
        self._engine = _build_engine(model)
        self._all = self._engine.get_supported_entities("en")
        self._short = [kind for kind in self._all if kind not in ("CREDIT_CARD", "PHONE_NUMBER", "UK_NHS", "US_SSN")]
        self._every = model is not None
        self._look = lru_cache(REMEMBERED)(self._analyze)

    def find(self, piece: FileText) -> Iterator[IdentifierMatch]:
        """Yield what looks like an identifier in a text, the name before it read as part of it."""
        before = f"{piece.name}: " if piece.name else ""
        text = before + piece.text
        if not self._every and not _WORTH.search(text):
            return
        for kind, start, end, score in self._look(hide_numbers(text)):
            if end > len(before):
                yield IdentifierMatch(kind, max(start - len(before), 0), end - len(before), score)

    def _analyze(self, text: str) -> list[tuple[str, int, int, float]]:
        entities = self._all if _LONG_NUMBER.search(text) else self._short
        found = self._engine.analyze(text, language="en", entities=entities)
        return [
            (KINDS.get(one.entity_type, one.entity_type), one.start, one.end, score)
            for one in found
            if (score := _judge(one.entity_type, text, one.start, one.end, one.score))
        ]


def _judge(kind: str, text: str, start: int, end: int, score: float) -> float:
    """Return how sure a match is: a model's names are often none, a phone number next to a decimal point is none."""
    if kind == "PERSON":
        return min(score, 0.5)
    if kind != "PHONE_NUMBER":
        return score
    decimal = re.search(r"\.\d", text[max(start - 1, 0) : end + 2])
    return 0.0 if decimal or sum(map(str.isdigit, text[start:end])) < 7 else score


def hide_numbers(text: str) -> str:
    """Blank what is a hash, or a computed number: among so many digits anything can be found."""
    for pattern in (_LONG_HEX, _MEASURE):
        text = pattern.sub(lambda run: " " * len(run.group()), text)
    return text


def _build_engine(model: str | None) -> AnalyzerEngine:
    try:
        import spacy
        from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
        from presidio_analyzer.nlp_engine import SpacyNlpEngine
    except ImportError:
        raise RecipeError('identifiers are found with presidio-analyzer: pip install "mmedpo[scan]"') from None

    class LoadedEngine(SpacyNlpEngine):  # type: ignore[misc, unused-ignore]
        """Tokens of a pipeline that is loaded already: presidio's own would be fetched from the network."""

        def __init__(self, pipeline: Any) -> None:
            super().__init__()
            self.nlp: Any = {"en": pipeline}

    try:
        pipeline = spacy.load(model) if model else spacy.blank("en")
    except (OSError, ValueError) as error:
        raise RecipeError(f"--names: {model!r} is no spaCy model that is installed here ({error})") from None
    registry = RecognizerRegistry(recognizers=_list_recognizers(bool(model)), supported_languages=["en"])
    return AnalyzerEngine(registry=registry, nlp_engine=LoadedEngine(pipeline), supported_languages=["en"])


def _list_recognizers(names: bool) -> list[EntityRecognizer]:
    """Return presidio's recognizers that need no network, and ours."""
    from presidio_analyzer import Pattern, PatternRecognizer
    from presidio_analyzer import predefined_recognizers as ready

    recognizers: list[EntityRecognizer] = [
        ready.CreditCardRecognizer(),
        ready.DateRecognizer(),
        ready.IbanRecognizer(),
        ready.NhsRecognizer(),
        ready.PhoneRecognizer(supported_regions=REGIONS, leniency=2),
        ready.UsSsnRecognizer(),
    ]
    for kind, forms in FORMS.items():
        patterns = [Pattern(f"{kind} {number}", regex, score) for number, (regex, score) in enumerate(forms)]
        recognizers.append(PatternRecognizer(supported_entity=kind, patterns=patterns))
    if names:
        recognizers.append(ready.SpacyRecognizer(supported_entities=["PERSON"]))
    return recognizers
