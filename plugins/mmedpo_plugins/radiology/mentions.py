"""Read plain radiology English: which findings a text states, how surely, where, how severe and since when."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise
from textwrap import wrap

from mmedpo_plugins.radiology.certainty import FindingSpan, spans_of, status_of
from mmedpo_plugins.radiology.traits import FindingMention, add_traits, has_only_traits

ASKED = "what is asked"  # the finding of an answer that names none: "Left" to "On which side is the mass?"


def read_mentions(text: str) -> list[FindingMention]:
    """Return what a text states. Empty when it states no finding known here, or is no English."""
    if not text or sum(char.isascii() for char in text) < 0.8 * len(text):
        return []
    return [mention for sentence in _sentences(_findings_text(text)) for mention in _read_sentence(sentence)]


def read_answer(question: str, answer: str) -> list[FindingMention]:
    """Return what an answer states, with what it leaves to the question: "No", "Left", "Severe"."""
    lead, rest = _lead(answer)
    stated, asked = read_mentions(rest), read_mentions(question)
    if lead:
        answered = [_apply_answer(mention, lead) for mention in asked]
        told = [mention for mention in stated if not any(_contradicts(mention, other) for other in answered)]
        return told + [one for one in answered if one.finding not in {mention.finding for mention in told}]
    told = [mention for mention in stated if mention not in _granted_mentions(question, asked)]
    return told or _read_details(question, asked, rest)


def yes_or_no(answer: str) -> str:
    """Return the yes or no that an answer opens with, in lower case; empty where it opens with neither."""
    return _lead(answer)[0]


_LEAD = re.compile(  # the "no" of "No pneumothorax" is no answer of its own
    r"\W*(?:(yes)\b|(no)\b(?=\W*$|\s*[.,;:!\n]|\s+(?:the|there|this|that|it|i|they|he|she)\b))", re.IGNORECASE
)


def _lead(answer: str) -> tuple[str, str]:
    """Split a leading yes or no from the rest."""
    answer = unicodedata.normalize("NFKC", answer)  # a "Ｙｅｓ" of full width is a yes
    found = _LEAD.match(answer)
    if not found:
        return "", answer
    return (found.group(1) or found.group(2)).lower(), answer[found.end() :].lstrip(" .,;:!\n")


def _apply_answer(mention: FindingMention, lead: str) -> FindingMention:
    if lead == "yes":
        return mention
    return replace(mention, status="present" if mention.status == "absent" else "absent")


def _contradicts(stated: FindingMention, answered: FindingMention) -> bool:
    """Tell whether a statement contradicts the yes or no before it; then the yes or no counts."""
    apart = stated.sides and answered.sides and not stated.sides & answered.sides
    opposed = {stated.status, answered.status} == {"present", "absent"}
    return stated.finding == answered.finding and opposed and not apart


def _granted_mentions(question: str, asked: Sequence[FindingMention]) -> Sequence[FindingMention]:
    """Return what a question takes for granted; an answer that repeats just that tells nothing."""
    open_question = re.search(r"\b(?:what|where|which|how|who|when|why|describe)\b", question, re.IGNORECASE)
    return asked if open_question and " or " not in question else ()


def _read_details(question: str, asked: Sequence[FindingMention], answer: str) -> list[FindingMention]:
    """Read an answer that gives but a side, place, severity or size, and leaves the finding to the question."""
    words = _plain_text(answer)
    traits = add_traits(FindingMention(ASKED), [words])
    if not question or traits == [FindingMention(ASKED)] or not has_only_traits(words, _plain_text(question)):
        return []
    return [_merge_trait(mention, trait) for mention in asked or [FindingMention(ASKED)] for trait in traits]


def _merge_trait(asked: FindingMention, trait: FindingMention) -> FindingMention:
    told = {name: value for name, value in vars(trait).items() if value and name not in ("finding", "status")}
    return replace(asked, status="present", **told)


_SECTION = re.compile(r"^[ \t]*([A-Z][A-Za-z ,/()&-]{3,40}):", re.MULTILINE)
_NO_FINDINGS = re.compile(r"HISTORY|INDICATION|COMPARISON|TECHNIQUE|EXAM|REASON|CLINICAL|NOTIFICATION", re.IGNORECASE)


def _findings_text(text: str) -> str:
    """Leave out the paragraphs of a report that tell what was asked and how it was done."""
    first, *parts = _SECTION.split(re.sub(r"[ \t]*\n(?:[ \t]*\n)+", "\n\n", text))
    kept = [first]
    for head, body in zip(parts[::2], parts[1::2], strict=True):
        kept.append(body.partition("\n\n")[2] if _NO_FINDINGS.search(head) else body)
    return "\n".join(kept)


def _sentences(text: str) -> list[str]:
    parts = re.split(r"(?<=[.!?;])\s+|\n\s*\n|\n\s*(?=\d+[.)]\s)|(?<![\w)])\d+[.)]\s+", text)
    return [piece for part in parts if part for piece in wrap(_plain_text(part), 1000)]


_COUPLE = re.compile(r"\b(left|right|upper|lower|mid|middle) (?:and|or) (left|right|upper|lower|mid|middle)\b")


def _plain_text(text: str) -> str:
    """Write in lower case, with single spaces and without hyphens, slashes, quotes and the final stop."""
    text = re.sub(r"[-–—/\"“”'’*]+(?!s\b)|(?<=\w)'s\b", " ", text.lower())
    text = re.sub(r"\s+", " ", re.sub(r"([,:()])", r" \1 ", text)).strip(" .!?;")
    return _COUPLE.sub(r"\1 \2", text)


@lru_cache(maxsize=65536)
def _read_sentence(sentence: str) -> tuple[FindingMention, ...]:
    spans = spans_of(sentence)
    mentions: list[FindingMention] = []
    for at, (span, zone) in enumerate(zip(spans, _share_words(sentence, spans), strict=True)):
        if status := status_of(sentence, spans, at):
            mentions += add_traits(FindingMention(span.finding.name, status), zone, span.finding.sided)
    return tuple(mentions)


_BREAK = re.compile(
    r"[,;:()]|\b(?:and|n?or|but|with|without|which|however|although|though|while|whereas|plus|no|there|consistent|may|might"
    r"|due|possibly|probably|likely|(?:reflect|suggest|represent|caus|obscur|indicat)\w*)\b"
)
_LINK = re.compile(r"\b(?:as|does|is|are|was|were|by|from)\b")
_WITHIN = re.compile(
    r"\s*(?:in|at|on|within|of|to|along|over|near|involving|involves|projecting|overlying|above|below)\b"
)


def _share_words(sentence: str, spans: Sequence[FindingSpan]) -> list[tuple[str, str, str]]:
    """Share a sentence's words out to its findings: before, inside and after each.

    Between two findings all up to the last comma or conjunction belongs to the first one.
    """
    cuts = [
        0,
        *(one.end + _cut_place(sentence[one.end : following.start]) for one, following in pairwise(spans)),
        len(sentence),
    ]
    return [
        (sentence[start : span.start], sentence[span.start : span.end], sentence[span.end : end])
        for span, (start, end) in zip(spans, pairwise(cuts), strict=False)
    ]


def _cut_place(gap: str) -> int:
    """Tell how much of what stands between two findings belongs to the first."""
    breaks = [mark.start() for mark in _BREAK.finditer(gap)] or [mark.start() for mark in _LINK.finditer(gap)]
    return breaks[-1] if breaks else len(gap) * bool(_WITHIN.match(gap))
