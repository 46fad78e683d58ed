"""Questions that are asked twice, or asked again in the evaluation, are known by pixels and words."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rich.console import Console

from mmedpo import Case, ImageRef, Pair, Score, Side, WeightedPair
from mmedpo.cli.display.overlap import print_overlap
from mmedpo.data.question_counts import QuestionCounter
from mmedpo.evaluate.overlap import LearnedExamples, count_overlap
from mmedpo.events import StageCount
from mmedpo.store.run_files.measures import TrainingOverlap

FILM, OTHER = ImageRef("a.png", "film"), ImageRef("b.png", "other")
CASE = Case("c", FILM, "Is there a nodule?", "Yes", kind="closed")
TRAINED = [WeightedPair(Pair(CASE, Side(FILM, "Yes"), Side(FILM, "No"), "text"), Score(1.0), 1.0)]


@pytest.mark.parametrize(
    ("change", "images", "questions"),
    [
        ({}, 1, 1),
        ({"id": "d", "question": "is there a NODULE"}, 1, 1),
        ({"question": "Is there an effusion?"}, 1, 0),
        ({"image": OTHER}, 0, 0),
    ],
)
def test_what_was_trained_on_is_counted_by_image_and_by_question(
    change: dict[str, object], images: int, questions: int, capsys: pytest.CaptureFixture[str]
) -> None:
    found = count_overlap([replace(CASE, **change)], LearnedExamples([TRAINED]))  # type: ignore[arg-type]
    assert found == TrainingOverlap(images=1, trained_on=images, questions_trained_on=questions)
    print_overlap(Console(), found)
    assert ("1 of the questions" in capsys.readouterr().out) == bool(questions)


def test_a_sound_set_has_nothing_odd() -> None:
    cases = [CASE, replace(CASE, id="d", image=OTHER, answer="No"), replace(CASE, id="e", question="Is it left?")]
    counter = QuestionCounter()
    for case in cases:
        counter.add(case)
    assert counter.counts() == [StageCount("closed_questions", 3)]
