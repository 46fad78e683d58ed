"""Answers that begin with the question, as some of the released pairs do: whoever wrote them gave the prompt back."""

from __future__ import annotations

import re
from difflib import SequenceMatcher

from mmedpo.data import fold_text

_LABEL = re.compile(r"\W*question\W*[:\uff1a]", re.IGNORECASE)
_GIVEN = re.compile(r"\W*(original|candidate)\s+answer\s*\d*\s*:", re.IGNORECASE)  # further lines of that prompt
_BULLET = re.compile(r"^(?:[-*\u2022\u2013:]\s*)+")


def strip_question(question: str, answer: str) -> str | None:
    """Return the answer behind the question that it repeats, "" where nothing is; None when it repeats none."""
    label = _LABEL.match(answer)
    rest = _after_question(question, answer[label.end() :]) if label else None
    if rest is None and label:
        first, _, rest = answer[label.end() :].strip().partition("\n")
        rest = rest if _is_nearly(question, first) else None
    elif rest is None and question.rstrip().endswith(("?", "\uff1f")):
        rest = _after_question(question, answer)
    if rest is None:
        return None
    lines = [line for line in rest.split("\n") if not _GIVEN.match(line)]
    return _BULLET.sub("", "\n".join(lines).strip()).strip()


def _after_question(question: str, answer: str) -> str | None:
    """Return what follows the question, where the answer begins with it word for word."""
    words = r"\s*".join(map(re.escape, question.split()))
    found = re.match(rf"\s*{words}", answer, re.IGNORECASE)
    return answer[found.end() :] if found and words else None


def _is_nearly(question: str, line: str) -> bool:
    """Tell whether a line is the question, its spelling mended."""
    return SequenceMatcher(None, fold_text(question), fold_text(line)).ratio() >= 0.8
