"""The findings that an answer claims to be there, with where in it they stand."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from mmedpo_plugins.radiology.certainty import spans_of, status_of
from mmedpo_plugins.radiology.lexicon import covers
from mmedpo_plugins.radiology.mentions import read_answer

_SENTENCE = re.compile(r"[^.!?;\n]+")


@dataclass(frozen=True)
class FindingClaim:
    """Words of an answer that say a finding is there."""

    start: int
    end: int
    words: str
    finding: str


def find_claims(answer: str) -> Iterator[FindingClaim]:
    """Yield each claim of an answer; what it denies is none."""
    plain = re.sub(r"[-–—/]", " ", answer.lower())  # as long as the answer
    for sentence in _SENTENCE.finditer(plain):
        spans = spans_of(sentence.group())
        for at, span in enumerate(spans):
            if not span.normal and status_of(sentence.group(), spans, at) in ("present", "uncertain"):
                start, end = sentence.start() + span.start, sentence.start() + span.end
                yield FindingClaim(start, end, answer[start:end], span.finding.name)


def is_true(claim: FindingClaim, question: str, truth: str) -> bool:
    """Tell whether the truth says that the finding is there, in this word or a more or less general one."""
    there = {mention.finding for mention in read_answer(question, truth) if mention.status == "present"}
    return any(one == claim.finding or covers(one, claim.finding) or covers(claim.finding, one) for one in there)
