"""Identifiers that are known beforehand, found as whole words in any case, with or without accents, in each form."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from itertools import pairwise

from mmedpo.scan.identifier import IdentifierMatch

Runs = tuple[str, ...]
_RUN = re.compile(r"[^\W\d_]+|\d+")  # letters or digits in one go: "MRN1234567" has two
GAP = 3  # characters at most between two runs of an identifier
DATE_MARKS = ("-", "/", ".", "_", " ")
SHORTEST = 4  # letters and digits of an identifier; shorter ones stand everywhere
LETTERS = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "æ": "ae", "œ": "oe", "þ": "th", "ð": "d", "ı": "i"})
_SPELT = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue"})
_UMLAUTS = {"ae": "a", "oe": "o", "ue": "u"}
_MONTHS = [f"{date(2000, month, 1):%B}".lower() for month in range(1, 13)]
_DATE = re.compile(r"(\d{4})-?(\d\d)-?(\d\d)(?:[T ]?\d.*)?|(\d\d?)[./](\d\d?)[./](\d{4})")


@dataclass(frozen=True)
class KnownIdentifier:
    """A value that must not be in a run, and where it is known from."""

    kind: str
    value: str
    source: str
    exact: bool = False  # found as it is written alone: a key


class KnownIdentifiers:
    """Find any of many identifiers in a text, however many there are."""

    def __init__(self, known: Iterable[KnownIdentifier] = ()) -> None:
        """Take what is to be found; what has fewer than four letters and digits is left out, and counted."""
        self.short = self.count = 0
        self._by_first: dict[str, list[tuple[Runs, float, KnownIdentifier]]] = {}
        for one in {(one.kind, one.value): one for one in known}.values():
            if sum(map(str.isalnum, one.value)) < SHORTEST:
                self.short += 1
                continue
            self.count += 1
            for runs, score in _forms(one):
                self._by_first.setdefault(runs[0], []).append((runs, score, one))

    def find(self, text: str) -> Iterator[IdentifierMatch]:
        """Yield every place of one of them in a text."""
        if not self._by_first:
            return
        found = [(plain(run.group()), run.start(), run.end()) for run in _RUN.finditer(text)]
        found = [_cut_time(*one) for one in found]
        for index, (run, start, _) in enumerate(found):
            for runs, score, known in self._by_first.get(run, ()):
                span = found[index : index + len(runs)]
                if tuple(one for one, _, _ in span) == runs and _fits(known, score, text, span):
                    yield IdentifierMatch(known.kind, start, span[-1][2], score, known.source)


def plain(text: str) -> str:
    """Return letters without case and accents."""
    if text.isascii():
        return text.lower()
    apart = unicodedata.normalize("NFKD", text.casefold().translate(LETTERS))
    return "".join(char for char in apart if not unicodedata.combining(char))


def _cut_time(run: str, start: int, end: int) -> tuple[str, int, int]:
    """Take the day of a DICOM time, 19560312093000, for a run of its own."""
    return (run[:8], start, start + 8) if len(run) == 14 and run.isdigit() else (run, start, end)


def _fits(known: KnownIdentifier, score: float, text: str, span: list[tuple[str, int, int]]) -> bool:
    """Tell whether what stands between the runs of a form may stand there, and letters are of the right size."""
    between = [text[before[2] : after[1]] for before, after in pairwise(span)]
    if any(len(gap) > GAP for gap in between):
        return False
    if known.exact:
        return text[span[0][1] : span[-1][2]] in known.value
    if known.kind == "date" and len(span) > 1 and all(run.isdigit() for run, _, _ in span):
        return len(set(between)) == 1 and between[0] in DATE_MARKS
    return score >= 0.85 or text[span[0][1]].isupper()


def _forms(known: KnownIdentifier) -> Iterator[tuple[Runs, float]]:
    """Yield the runs of each form that an identifier is written in, and how sure that form is."""
    runs = tuple(plain(run) for run in _RUN.findall(known.value))
    day = None if known.exact else parse_date(known.value)
    if day is not None:
        yield from ((form, 0.95) for form in _date_forms(day))
    elif known.kind == "name" and not any(run.isdigit() for run in runs):
        spelt = tuple(plain(run) for run in _RUN.findall(known.value.casefold().translate(_SPELT)))
        yield from {form: score for one in (runs, spelt) for form, score in _name_forms(one)}.items()
    else:
        yield from ((form, 1.0) for form in {runs, _joined(runs), _without_zeros(runs)})


def _joined(runs: Runs) -> Runs:
    """Join digits that marks stand between: 123-45-6789 as 123456789."""
    joined: list[str] = []
    for run in runs:
        if joined and joined[-1].isdigit() and run.isdigit():
            joined[-1] += run
        else:
            joined.append(run)
    return tuple(joined)


def _without_zeros(runs: Runs) -> Runs:
    """Leave leading zeros out of a number that stays long."""
    bare = runs[0].lstrip("0") if runs[0].isdigit() else ""
    return (bare, *runs[1:]) if len(bare) > SHORTEST else runs


def _name_forms(runs: Runs) -> Iterator[tuple[Runs, float]]:
    """Yield a name in each order, with an initial, and its parts of some length alone, of which one is less sure."""
    whole = {runs, runs[::-1], *((*runs[at:], *runs[:at]) for at in range(len(runs)))}
    if len(runs) > 1:
        whole |= {(runs[0], runs[-1]), (runs[-1], runs[0])}
        whole |= {form for one, other in ((runs[0], runs[-1]), (runs[-1], runs[0])) for form in _initials(one, other)}
    whole |= {tuple(map(_without_umlauts, form)) for form in whole}
    yield from ((form, 0.95 if len(form) > 1 else 0.9) for form in whole)
    if len(runs) > 1:
        yield from (((run,), 0.5) for run in set(runs) if len(run) >= SHORTEST)


def _initials(one: str, other: str) -> list[Runs]:
    return [(one, other[0]), (other[0], one)] if len(one) > 1 else []


def _without_umlauts(run: str) -> str:
    """Write Mueller as Muller, which Müller is without its dots."""
    for pair, letter in _UMLAUTS.items():
        run = run.replace(pair, letter)
    return run


def parse_date(text: str) -> date | None:
    """Return the day that a whole text is, written as DICOM does, as ISO does, or day or month first."""
    match = _DATE.fullmatch(text.strip())
    if match is None:
        return None
    year, month, day, one, two, last = (int(part) if part else 0 for part in match.groups())
    tried = [(year, month, day)] if year else [(last, two, one), (last, one, two)]
    for parts in tried:
        try:
            found = date(*parts)
        except ValueError:
            continue
        if 1880 <= found.year <= 2100:
            return found
    return None


def _date_forms(day: date) -> set[Runs]:
    """Return a day as runs: 19560312, 1956-03-12, 12.3.56, 3/12/1956, 12 March 1956, Mar 12, 1956, 12th of March ..."""
    forms: set[Runs] = {(f"{day:%Y%m%d}",)}
    month = _MONTHS[day.month - 1]
    for year in (str(day.year), f"{day:%y}"):
        for d, m in {(str(day.day), str(day.month)), (f"{day:%d}", f"{day:%m}")}:
            forms |= {(d, m, year), (m, d, year)}
            forms |= {(year, m, d)} if len(year) == 4 else set()
    for word in (month, month[:3]):
        for d in {str(day.day), f"{day:%d}"}:
            for year in (str(day.year),):
                forms |= {(d, word, year), (word, d, year), (d, "th", word, year), (word, d, "th", year)}
                forms |= {(d, "th", "of", word, year), (d, "of", word, year)}
    return forms
