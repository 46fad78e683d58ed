"""What is asked of a study: one question of all, or one of several, drawn for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator

from mmedpo import seed_for

QUESTIONS = ("Write the findings of a radiology report on this chest X-ray.",)


def _read_questions(value: Any) -> list[str]:
    texts = [value] if isinstance(value, str) else value
    if (
        not texts
        or not isinstance(texts, list | tuple)
        or not all(isinstance(one, str) and one.strip() for one in texts)
    ):
        raise ValueError("must be a question, or a list of questions")
    return [one.strip() for one in texts]


Questions = Annotated[tuple[str, ...], BeforeValidator(_read_questions, json_schema_input_type=str | list[str])]


def draw_question(questions: Sequence[str], study: str) -> str:
    """Return the question of a study: of several the one that its id alone says, whatever else is read."""
    return questions[seed_for(0, "question", study) % len(questions)]
