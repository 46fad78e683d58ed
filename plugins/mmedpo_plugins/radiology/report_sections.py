"""Where the sections of a MIMIC-CXR report begin and end: at the headings that the data set knows, at no others."""

from __future__ import annotations

import re
from typing import Literal, get_args

ReportSection = Literal["findings", "impression"]
# What MIMIC-CXR's own section parser (MIT-LCP/mimic-cxr, txt/section_parser.py) counts as each, misspellings included.
_FINDINGS = "findings, finding, chest findings, reference findings, findings and impression, findings/impression"
_FINDINGS += ", findins, findindgs, findgings, findngs, findnings, finidngs"
_IMPRESSION = "impression, impressions, conclusion, conclusions, concusion, impresson, imprression, imoression"
_IMPRESSION += ", impressoin, imprssion, impresion, imperssion, mpression, impession"
_BEFORE = "comparison, comparisons, comparision, comparsion, comparrison, comparisions, comparison exam, reference exam"
_BEFORE += ", comparison film, indication, idication, clinical indication, examination, exam, type of examination"
_BEFORE += ", technique, history, clinical history, patient history, clinical information, reason for examination"
_BEFORE += ", reason for exam, date, pfi"
_BEHIND = "recommendation, recommendations, recommendation(s), notification, addendum, comment, wet read, wetread"
_BEHIND += ", final report"
_SPACE = r"[^\S\n]"
_AS_A_WORD = ("date", "comment", "exam", "pfi")  # in small letters a word like any other


def _split_names(listed: str) -> frozenset[str]:
    return frozenset(listed.split(", "))


_OF: dict[str, frozenset[str]] = {"findings": _split_names(_FINDINGS), "impression": _split_names(_IMPRESSION)}
_FIRST = _split_names(_BEFORE)
_KNOWN = frozenset().union(*_OF.values(), _FIRST, _split_names(_BEHIND))


def _any_name(names: frozenset[str]) -> str:
    """Match one of these names, the longest first, however its slash and spaces are written."""
    ordered = sorted(names, key=len, reverse=True)
    loose = (re.escape(name).replace(r"\ ", f"{_SPACE}+").replace("/", f"{_SPACE}*/{_SPACE}*") for name in ordered)
    return "|".join(loose)


_NAME = rf"(?=[A-Z])(?i:{_any_name(_KNOWN)})"
_ALONE = "|".join(sorted(name.upper() for name in _OF["findings"] | _OF["impression"] if " " not in name))
_HEADING = re.compile(
    rf"^{_SPACE}*(?:({_NAME}){_SPACE}*:|({_ALONE}){_SPACE}*$)"  # at a line's begin, or alone on it
    rf"|(?<=[.;:?!_)]){_SPACE}+({_NAME}){_SPACE}*:",  # within a line, behind a sentence
    re.MULTILINE,
)


def sections(report: str) -> dict[ReportSection, str]:
    """Return findings and impression of a report, each on one line; of several the last that holds something."""
    found = {name: _section_texts(report, name) for name in get_args(ReportSection)}
    return {name: texts[-1][0] if texts else "" for name, texts in found.items()}


def describe_loss(report: str, section: ReportSection) -> str:
    """Say what of a report may be missing in one of its sections; "" where nothing is."""
    texts = _section_texts(report, section)
    if len(texts) > 1:
        return f"the report has several sections {section}, and the last is taken"
    if texts and section == "findings" and texts[0][1] in _FIRST:
        return f"the section findings ends at the heading {texts[0][1].upper()}"
    return ""


def _section_texts(report: str, section: ReportSection) -> list[tuple[str, str]]:
    """Return all sections of a name that hold something, with the name of the heading behind each."""
    headings = [(at, _heading_name(at)) for at in _HEADING.finditer(report) if _is_heading(at)]
    ends = [*((at.start(), name) for at, name in headings), (len(report), "")][1:]
    mine = [(at.end(), end) for (at, name), end in zip(headings, ends, strict=False) if name in _OF[section]]
    texts = [(" ".join(report[start:end].split()), behind) for start, (end, behind) in mine]
    return [(text, behind) for text, behind in texts if text]


def _heading_name(heading: re.Match[str]) -> str:
    name = next(group for group in heading.groups() if group)
    return re.sub(r"\s*/\s*", "/", " ".join(name.lower().split()))


def _is_heading(heading: re.Match[str]) -> bool:
    """Tell a heading from a word of a sentence: within a line, and of a common word, only in capitals."""
    written = next(group for group in heading.groups() if group)
    return written.isupper() or not (heading[3] or _heading_name(heading) in _AS_A_WORD)
