"""What a set of questions is, told as it is read: of which kinds, which contradict each other, which come twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from mmedpo.core.records import Case
from mmedpo.data.sameness import fold_text
from mmedpo.data.tables import closed_answer
from mmedpo.events import StageCount

KINDS = {"closed": "closed_questions", "open": "open_questions", "report": "reports"}
PARAGRAPH = 30  # words: a longer answer to an open question may be a report whose kind nobody gave

QuestionKey = tuple[str, str]  # pixels and question


def question_key(case: Case) -> QuestionKey:
    """Return what two cases have in common that ask the same: the image's pixels, and the question but its writing."""
    return case.image.sha256, fold_text(case.question)


def count_questions(cases: Sequence[Case]) -> list[StageCount]:
    """Count the kinds of questions, and what is odd about them."""
    kinds: Counter[str] = Counter(case.kind for case in cases)
    counts = [StageCount(what, kinds[kind]) for kind, what in KINDS.items()]
    counts.append(StageCount("long_open_answers", _count_paragraphs(cases)))
    counts.append(StageCount("contradictions", _count_contradictions(cases)))
    counts.append(StageCount("repeated_cases", _count_repeats(cases)))
    return [count for count in counts if count.count]


def _count_paragraphs(cases: Sequence[Case]) -> int:
    return sum(case.kind == "open" and len(case.answer.split()) > PARAGRAPH for case in cases)


def _count_contradictions(cases: Sequence[Case]) -> int:
    said: dict[QuestionKey, Counter[str]] = {}
    for case in cases:
        if answer := closed_answer(case.answer):
            said.setdefault(question_key(case), Counter())[answer] += 1
    return sum(answers.total() for answers in said.values() if len(answers) > 1)


def _count_repeats(cases: Sequence[Case]) -> int:
    return len(cases) - len({(*question_key(case), fold_text(case.answer)) for case in cases})
