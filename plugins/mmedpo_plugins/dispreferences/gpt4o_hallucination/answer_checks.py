"""What a wrong answer must be like, so that nothing but its content tells it from the right one."""

from __future__ import annotations

import re

from mmedpo.endpoints import AnswerFault

SLACK = 2  # words by which an answer may always be longer or shorter
_LEAK = re.compile(
    r"\bcontradict|\bnote\s*:|\bincorrect|\bwrong(ly)?\b|\bhallucinat|\bground truth\b|\bcorrect answer\b|\bcandidate\b"
    r"|\bunlike the (truth|image)\b|\bin reality\b|\bplausible\b|\bfalse answer\b|\bas an ai\b",
    re.IGNORECASE,
)


def plain(text: str) -> str:
    """Return a text's words in lower case; two answers with equal ones are the same answer."""
    return " ".join(re.findall(r"\w+", text.lower()))


def word_range(truth: str, ratio: float) -> tuple[int, int]:
    """Return how many words a wrong answer may have, at least and at most."""
    words = len(truth.split())
    return max(1, min(words - SLACK, int(words / ratio))), max(words + SLACK, int(words * ratio))


def in_style(truth: str, answer: str) -> str:
    """Give an answer the right one's final stop and first letter, where they tell the two apart."""
    if truth[-1:].isalnum():
        answer = answer.rstrip(".") if answer.count(".") == 1 else answer
    elif truth.endswith(".") and answer[-1:].isalnum():
        answer += "."
    first, rest = answer[:1], answer[1:]
    ordinary = not rest[:1].isupper()  # not an abbreviation: CT, MRI
    if truth[:1].islower() and ordinary:
        return first.lower() + rest
    return first.upper() + rest if truth[:1].isupper() else answer


def fault_of(truth: str, answer: str) -> AnswerFault | None:
    """Return why an answer cannot be a wrong one at all, if so."""
    if not plain(answer):
        return AnswerFault("the wrong answer is empty", "The wrong answer has no words. Write one.")
    if plain(answer) == plain(truth):
        return AnswerFault("the wrong answer is the true one", "That is the correct answer itself. Write a wrong one.")
    return None


def form_fault(truth: str, answer: str, opposite: str, ratio: float | None) -> AnswerFault | None:
    """Return what but its content tells a wrong answer from the right one, if anything."""
    leak = _LEAK.search(answer)
    if leak and not _LEAK.search(truth):
        say = f'The wrong answer must not give itself away: leave out "{leak.group()}" and every comment.'
        return AnswerFault("the wrong answer gives itself away", say)
    if opposite and plain(answer).split()[0] != opposite.lower():
        return AnswerFault("a yes or no is not turned round", f'The wrong answer must begin with "{opposite}".')
    return _length_fault(truth, answer, ratio) if ratio else None


def _length_fault(truth: str, answer: str, ratio: float) -> AnswerFault | None:
    least, most = word_range(truth, ratio)
    words = len(answer.split())
    if least <= words <= most:
        return None
    say = f"The wrong answer has {words} words; write it again with {least} to {most}."
    return AnswerFault("the wrong answer has another length", say)
