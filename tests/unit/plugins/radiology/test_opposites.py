"""The other answer of a closed question."""

from __future__ import annotations

import pytest
from mmedpo_plugins.radiology.opposites import opposite


@pytest.mark.parametrize(
    ("question", "answer", "other"),
    [
        ("Is there a nodule?", "Yes", "No"),
        ("Is there a nodule?", "no.", "yes."),
        ("Is it in the left or right lung?", "Left", "Right"),
        ("Is this a CT or an MRI?", "MRI", "CT"),
        ("Is the lesion hypodense or hyperdense?", "hyperdense", "hypodense"),
        ("Is it T1, T2 or FLAIR?", "FLAIR", ""),
        ("Is there a nodule?", "Yes, on the left", ""),
        ("What organ is this?", "Liver", ""),
    ],
)
def test_the_opposite_of_a_closed_answer(question: str, answer: str, other: str) -> None:
    assert opposite(question, answer) == other
