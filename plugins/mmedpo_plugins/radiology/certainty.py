"""How surely a sentence states each finding that it names: present, uncertain, absent, or only asked about."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

from mmedpo_plugins.radiology import lexicon
from mmedpo_plugins.radiology.lexicon import any_of, compiled, has
from mmedpo_plugins.radiology.traits import Status


@dataclass(frozen=True)
class FindingSpan:
    """Where a sentence names a finding, or calls normal what it would change."""

    start: int
    end: int
    finding: lexicon.FindingTerm
    normal: bool = False


@cache
def _cells() -> list[tuple[lexicon.FindingTerm, bool, re.Pattern[str]]]:
    cells = (
        (one, normal, one.normal if normal else one.names) for one in lexicon.findings() for normal in (False, True)
    )
    return [(finding, normal, compiled(cell)) for finding, normal, cell in cells if cell]


def spans_of(sentence: str) -> list[FindingSpan]:
    """Find the findings; of names that overlap the longest counts: "pleural effusion" before "effusion"."""
    found = [
        FindingSpan(match.start(), match.end(), finding, normal)
        for finding, normal, names in _cells()
        for match in names.finditer(sentence)
    ]
    kept: list[FindingSpan] = []
    for span in sorted(found, key=lambda one: one.start - one.end):
        if all(span.end <= other.start or other.end <= span.start for other in kept):
            kept.append(span)
    return sorted(kept, key=lambda one: one.start)


def status_of(sentence: str, spans: Sequence[FindingSpan], at: int) -> Status | None:
    """Tell how a sentence states its finding number `at`; None where it only says that somebody looked for it."""
    span = spans[at]
    before = _before(sentence, span) + sentence[span.start : span.end]
    after, last = _after(sentence, spans, at)
    if has(lexicon.ONLY_ASKED, _before(sentence, span)):
        return None
    if has(lexicon.NOT_EXCLUDED, before + after):
        return "uncertain"
    denied = has(lexicon.DENIES_BEFORE, compiled(lexicon.NO_DENIAL).sub(" ", before)) or has(
        lexicon.DENIES_AFTER, after
    )
    if denied:
        return "present" if span.normal else "absent"
    if has(lexicon.DOUBTS_BEFORE, before) or (last and has(lexicon.DOUBTS_AFTER, after)):
        return "uncertain"
    return "absent" if span.normal else "present"


_CLAUSE = re.compile(rf"{any_of([lexicon.ENDS_SCOPE])}|[;:]")
_FRESH = re.compile(rf"(?:,|\band) (?:and )?(?:{any_of((lexicon.OPENS_ANEW, *lexicon.SEVERITIES, *lexicon.SIDES))})")
_AFTERWARDS = re.compile(rf"{any_of([lexicon.SPEAKS_OF_ELSE])}|;")
_VERB = re.compile(r"\b(?:is|are|was|were|has|have|had|may|might|could|remains?|appears?|shows?|no|not)\b")


def _before(sentence: str, span: FindingSpan) -> str:
    """Return the words before a finding that may deny or doubt it."""
    text = _CLAUSE.split(sentence[: span.start])[-1]
    if _VERB.search(sentence, span.start, span.end):  # the finding is a statement of its own: "heart is enlarged"
        return re.split(r",|\band\b", text)[-1]
    clause = text + _CLAUSE.split(sentence[span.start :])[0]
    marks = [mark for mark in _FRESH.finditer(clause) if mark.start() < len(text)]
    fresh = [mark.start() for mark in marks if mark.group()[0] != "," or not has("or|nor", clause[mark.end() :])]
    return text[max(fresh, default=0) :]


def _after(sentence: str, spans: Sequence[FindingSpan], at: int) -> tuple[str, bool]:
    """Return the words after a finding that may deny or doubt it, and whether it is the last they may be about."""
    end = len(sentence)
    for one, following in pairwise(spans[at:]):
        gap = sentence[one.end : following.start]
        if _VERB.search(gap) or _CLAUSE.search(gap) or not re.search(r",|\b(?:and|n?or)\b", gap):
            end = following.start
            break
    return _AFTERWARDS.split(sentence[spans[at].end : end])[0], end == len(sentence)
