"""What contradicts the truth, and what agrees with it or says nothing."""

from __future__ import annotations

import pytest
from mmedpo_plugins.radiology.contradiction import rate_contradiction


@pytest.mark.parametrize(
    ("question", "truth", "answer"),
    [
        ("Is there a nodule?", "Yes", "No"),
        ("Is there a nodule?", "Yes", "No, the lungs are clear."),
        ("Is there a nodule?", "No", "There is a nodule in the left upper lobe."),
        ("On which side is the pleural effusion?", "Left", "Right"),
        ("Where is the nodule?", "Left upper lobe", "Left lower lobe"),
        ("How large is the nodule?", "Small", "Large"),
        ("Describe the findings.", "There is a small left pneumothorax.", "The lungs are clear."),
        ("Describe the findings.", "The lungs are clear. The heart is normal in size.", "There is mild cardiomegaly."),
        ("What is the plane of this image?", "axial", "coronal"),
    ],
)
def test_a_wrong_answer_contradicts(question: str, truth: str, answer: str) -> None:
    assert rate_contradiction(question, truth, answer) >= 0.5


@pytest.mark.parametrize(
    ("question", "truth", "answer"),
    [
        ("Is there a nodule?", "Yes", "Yes, in the left upper lobe."),
        ("Is there a nodule?", "No", "There is no nodule."),
        ("Is there a nodule?", "Yes", "I cannot tell."),
        ("On which side is the pleural effusion?", "Left", "The effusion is on the left side."),
        ("Describe the findings.", "There is a small left pneumothorax.", "A small pneumothorax is seen on the left."),
        ("What is the plane of this image?", "axial", "This is an axial slice."),
    ],
)
def test_an_answer_that_agrees_or_says_nothing_does_not_contradict(question: str, truth: str, answer: str) -> None:
    assert rate_contradiction(question, truth, answer) < 0.3
