"""Exchange single words of a medical answer for others of their kind: findings, sides, places, grades, sizes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

ErrorKind = Literal["finding", "side", "place", "severity", "size", "presence", "organ", "view"]
KINDS: tuple[ErrorKind, ...] = get_args(ErrorKind)
FEW = 4  # words of an answer that does no more than name an organ

# Words that a hasty reader takes for one another, a line each; of a word in several lines the first counts.
_WORDS: dict[ErrorKind, str] = {
    "finding": """
        pleural effusion, pneumothorax, pleural thickening
        effusion, pneumothorax
        consolidation, atelectasis, edema
        pneumonia, atelectasis, pulmonary edema
        infiltrate, nodule
        opacity, nodule
        nodule, mass, granuloma
        nodules, masses, granulomas
        mass, cyst, abscess
        cardiomegaly, pericardial effusion
        emphysema, fibrosis
        rib fracture, rib lesion
        fracture, dislocation
        hemorrhage, infarct
        tumor, abscess
        hydrocephalus, atrophy
        ascites, hepatomegaly
        gallstones, kidney stones
        pacemaker, port
        endotracheal tube, enteric tube
    """,
    "side": """
        left, right
        left-sided, right-sided
        bilateral, unilateral
    """,
    "place": """
        upper, lower
        middle, upper
        mid, lower
        apical, basal
        apex, base
        superior, inferior
        anterior, posterior
        medial, lateral
        central, peripheral
        frontal, parietal, temporal, occipital
    """,
    "organ": """
        lung, heart
        lungs, heart
        liver, spleen, kidney, pancreas, stomach
        brain, chest, abdomen
        esophagus, trachea
    """,
    "severity": """
        mild, severe
        moderate, mild, severe
        small, large
        tiny, large
        minimal, extensive
        slight, marked
        acute, chronic
        stable, worsening
        improved, worsened
        increased, decreased
    """,
    "presence": """
        normal, abnormal
        unremarkable, abnormal
        clear, opacified
        enlarged, normal
        present, absent
        intact, disrupted
    """,
    "view": """
        axial, coronal, sagittal
        CT, MRI
        X-ray, CT
        ultrasound, CT
        T1, T2
    """,
}
_SIZE = re.compile(r"\b(\d+(?:\.\d+)?)(?= ?(?:mm|cm)\b)")
_PRESENCE = {  # what says that something is there or not, and what stands there instead
    r"^No (?=\w)|(?<=[Tt]here is )no |(?<=[Tt]here are )no |\bno (?=evidence of )": "",
    r"(?<=\bis )not |(?<=\bare )not ": "",
    r"(?<=[Tt]here is )an? ": "no ",
}
_SPLIT = re.compile(r"(?<=[.!?])\s+|\n+")


@dataclass(frozen=True)
class WordEdit:
    """A place in an answer, and the words that may stand there instead."""

    start: int
    end: int
    others: tuple[str, ...]
    kind: ErrorKind
    sentence: int  # where its sentence begins

    def apply(self, answer: str, other: str) -> str:
        """Return the answer with other words in that place; an article before them, or a capital, follows them."""
        before, was, after = answer[: self.start], answer[self.start : self.end], answer[self.end :]
        if not other and was[0].isupper():
            after = after[:1].upper() + after[1:]
        if article := re.search(r"\b[Aa]n? $", before):
            a = before[article.start()]
            before = f"{before[: article.start()]}{a}{'n' if other[:1].lower() in 'aeiou' else ''} "
        return before + other + after


@dataclass(frozen=True)
class WordChange:
    """One exchange of words."""

    kind: ErrorKind
    was: str
    now: str


@dataclass(frozen=True)
class AnswerVersion:
    """An answer with words exchanged, and which; none where it is the answer as it was."""

    answer: str
    changes: tuple[WordChange, ...] = ()


def apply_edits(answer: str, edits: Sequence[tuple[WordEdit, str]]) -> AnswerVersion:
    """Exchange words in several places that do not overlap."""
    ordered = sorted(edits, key=lambda one: one[0].start)
    changes = tuple(WordChange(edit.kind, answer[edit.start : edit.end].strip(), now.strip()) for edit, now in ordered)
    for edit, now in reversed(ordered):  # from the end, so that places before it stay where they are
        answer = edit.apply(answer, now)
    return AnswerVersion(answer, changes)


def find_edits(answer: str, kinds: Sequence[ErrorKind] = KINDS) -> Iterator[WordEdit]:
    """Yield where an answer can be changed by a word, in the order of its words.

    What its sentence says already does not come in place of another word: "left and right" stays as it is.
    """
    found = (edit for start, sentence in split_sentences(answer) for edit in _edits_in(sentence, start))
    yield from sorted((edit for edit in found if edit.kind in kinds and edit.others), key=lambda edit: edit.start)


def split_sentences(text: str) -> Iterator[tuple[int, str]]:
    """Yield each sentence with where it begins."""
    start = 0
    for gap in _SPLIT.finditer(text):
        yield start, text[start : gap.start()]
        start = gap.end()
    yield start, text[start:]


def _edits_in(sentence: str, start: int) -> Iterator[WordEdit]:
    for word in _NAMES.finditer(sentence):
        kind, others = _OTHERS[word.group().lower()]
        if kind == "organ" and len(sentence.split()) > FEW:
            continue  # what is said of one organ is seldom said of another
        told = tuple(_like(word.group(), other) for other in others if not _says(sentence, other))
        yield WordEdit(start + word.start(), start + word.end(), told, kind, start)
    for number in _SIZE.finditer(sentence):
        yield WordEdit(start + number.start(), start + number.end(), (f"{float(number.group()) * 2:g}",), "size", start)
    for pattern, other in _PRESENCE.items():
        for found in re.finditer(pattern, sentence):
            yield WordEdit(start + found.start(), start + found.end(), (other,), "presence", start)


def _says(sentence: str, words: str) -> bool:
    return re.search(rf"\b{re.escape(words)}\b", sentence, re.IGNORECASE) is not None


def _like(word: str, other: str) -> str:
    """Write another word as this one is written; an abbreviation keeps its capitals."""
    if word.isupper() or other.isupper() or not word[0].isupper():
        return other
    return other[0].upper() + other[1:]


def _read_words() -> dict[str, tuple[ErrorKind, tuple[str, ...]]]:
    """Return of each word its kind and those that may stand in its place: the others of its first line."""
    table: dict[str, tuple[ErrorKind, tuple[str, ...]]] = {}
    for kind, lines in _WORDS.items():
        for line in lines.strip().split("\n"):
            names = line.strip().split(", ")
            for name in names:
                table.setdefault(name.lower(), (kind, tuple(other for other in names if other != name)))
    return table


_OTHERS = _read_words()
_NAMES = re.compile(
    rf"(?<![\w-])(?:{'|'.join(sorted(map(re.escape, _OTHERS), key=lambda name: -len(name)))})(?! limits)(?![\w-])",
    re.IGNORECASE,
)
