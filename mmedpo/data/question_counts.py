"""What a set of questions is, told as it is read: of which kinds, which contradict each other, which come twice."""

from __future__ import annotations

from collections import Counter
from hashlib import blake2b

from mmedpo.core.records import Case
from mmedpo.data.sameness import fold_text
from mmedpo.data.tables import closed_answer
from mmedpo.events import StageCount

KINDS = {"closed": "closed_questions", "open": "open_questions", "report": "reports"}
PARAGRAPH = 30  # words: a longer answer to an open question may be a report whose kind nobody gave

QuestionKey = tuple[str, ...]  # the pixels of each image, and the question


def question_key(case: Case) -> QuestionKey:
    """Return what two cases have in common that ask the same: the images' pixels, and the question but its writing."""
    return *(image.sha256 for image in case.images), fold_text(case.question)


class QuestionCounter:
    """Count the kinds of questions and what is odd about them, case by case; of a case no more than hashes is kept."""

    def __init__(self) -> None:
        """Start with none."""
        self._kinds: Counter[str] = Counter()
        self._paragraphs = self._repeats = 0
        self._closed: dict[bytes, tuple[int, int]] = {}  # by question, how often it is answered yes, and no
        self._said: set[bytes] = set()  # questions with their answers

    def add(self, case: Case) -> None:
        """Count the next case."""
        self._kinds[case.kind] += 1
        self._paragraphs += case.kind == "open" and len(case.answer.split()) > PARAGRAPH
        question = question_key(case)
        if answer := closed_answer(case.answer):
            yes, no = self._closed.get(key := _hash_texts(*question), (0, 0))
            self._closed[key] = (yes + 1, no) if answer == "yes" else (yes, no + 1)
        said = _hash_texts(*question, fold_text(case.answer))
        self._repeats += said in self._said
        self._said.add(said)

    def counts(self) -> list[StageCount]:
        """Return the counts that are not 0."""
        counts = [StageCount(what, self._kinds[kind]) for kind, what in KINDS.items()]
        counts.append(StageCount("long_open_answers", self._paragraphs))
        counts.append(StageCount("contradictions", sum(yes + no for yes, no in self._closed.values() if yes and no)))
        counts.append(StageCount("repeated_cases", self._repeats))
        return [count for count in counts if count.count]


def _hash_texts(*texts: str) -> bytes:
    return blake2b("\0".join(texts).encode(), digest_size=16).digest()
