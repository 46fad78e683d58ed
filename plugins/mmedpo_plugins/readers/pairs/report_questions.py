"""Questions that ask for a whole report, as those of the released pairs of IU X-ray and MIMIC-CXR do."""

from __future__ import annotations

import re

_ASKS = r"(?:is|are|was|were|do|does|did|has|have|can|could|would|should|which|what|where|when|why|who|how)\b"
_VERBS = r"describe|portray|examine|characteri[sz]e|illustrate|depict|interpret|summari[sz]e|explain|analy[sz]e|report"
_NOUNS = (
    r"|description|depiction|explanation|analysis|narrative|rundown|summary|interpretation|overview|report|findings"
)
_NOUNS += r"|details?|contents?|elements?|aspects?"
_BETWEEN = r"of|on|in|for|from|the|this|that|these|a|an|following|given|presented|displayed|shown|above|attached|chest"
_FILMS = r"image|picture|film|scan|x-?ray|radiograph|radiogram"
_WHOLE = re.compile(rf"\b(?:{_VERBS}{_NOUNS})\s+(?:(?:{_BETWEEN})\s+)*(?:{_FILMS})s?\b", re.IGNORECASE)
_REPORT = re.compile(r"\bradiology report\b", re.IGNORECASE)


def asks_for_report(question: str) -> bool:
    """Tell whether a text tells to describe the image as a whole, and not one thing in it."""
    told = question.strip()
    if "?" in told or re.match(_ASKS, told, re.IGNORECASE):
        return False
    return bool(_WHOLE.search(told) or _REPORT.search(told))
