"""The dispreference that samples the backbone: which sample is kept, how it is seeded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from mmedpo_plugins.dispreferences.self_hallucination import SelfHallucination

from mmedpo import Answer, Case, Drop, ImageRef, LiveBackbone, Pair, Setting, seed_for


class Scripted(LiveBackbone):
    """Gives the answers it was told to, and notes what it was asked."""

    def __init__(self, *answers: str) -> None:
        self.answers, self.asked = answers, dict[str, Any]()

    def answer(self, cases: Sequence[Case], **options: Any) -> list[str]:
        self.asked = {"ids": [case.id for case in cases], **options}
        return list(self.answers)

    def encode(self, image: ImageRef, question: str, answer: str) -> Any:
        raise NotImplementedError


def case(answer: str = "Yes", question: str = "Is there a nodule?", name: str = "c") -> Case:
    return Case(name, ImageRef(sha256="p"), question, answer)


def made(backbone: Scripted, *cases: Case, seed: int = 0, **options: Any) -> list[Pair | Drop]:
    with SelfHallucination(**options).open(Setting(seed=seed)) as live:
        return list(live.disprefer(cases, backbone, [[] for _ in cases]))


def test_the_most_contradictory_sample_is_rejected() -> None:
    truth = case("Left upper lobe", "Where is the nodule?")
    (pair,) = made(Scripted("Left lower lobe", "Right lower lobe", "Left upper lobe", "Right lower lobe"), truth)
    assert isinstance(pair, Pair)
    assert (pair.kind, pair.chosen.answer, pair.rejected.answer) == ("text", "Left upper lobe", "Right lower lobe")
    assert pair.chosen.image is pair.rejected.image is truth.image
    assert pair.notes == {"samples": 4, "wrong": 3, "contradiction": 1.0}


REPORT = "The lungs are clear. There is severe cardiomegaly. There is a left pacemaker."


@pytest.mark.parametrize(
    ("said", "rejected"),
    [
        (
            "There is a small right effusion. There is severe cardiomegaly.",
            "There is a small right effusion. There is severe cardiomegaly. There is a left pacemaker.",
        ),
        (  # in the place of what it denies, not beside it
            "There is a nodule. The heart is normal in size. There is a left pacemaker.",
            "There is a nodule. There is severe cardiomegaly. There is a left pacemaker.",
        ),
        (
            "The lungs are clear. There is severe cardiomegaly. There is a left pneumothorax. There is a left pacem",
            "The lungs are clear. There is severe cardiomegaly. There is a left pneumothorax.",
        ),
        ("The lungs are clear. There is severe cardiomegaly.", "The lungs are clear. There is severe cardiomegaly."),
        ("There is severe cardiomegaly. There is a left pacemaker. The lungs are clear.", None),
    ],
)
def test_a_report_and_the_same_with_one_of_the_models_own_errors(said: str, rejected: str | None) -> None:
    own = Answer(said, cut=not said.endswith("."))
    (pair,) = made(Scripted(own), case(REPORT, "Describe the image."), samples=1, reject="sentence")
    assert (pair.rejected.answer if isinstance(pair, Pair) else None) == rejected


def test_of_equally_wrong_samples_the_first_is_kept_and_stripped() -> None:
    (pair,) = made(Scripted(" No. ", "No"), case(), samples=2)
    assert isinstance(pair, Pair)
    assert pair.rejected.answer == "No."


def test_a_case_whose_samples_agree_or_are_empty_is_dropped() -> None:
    reason = "no sampled answer contradicts the true one"
    assert made(Scripted("Yes", "Yes, there is."), case(), samples=2) == [Drop("c", reason)]
    assert made(Scripted(" "), case("Left", "Where is it?"), samples=1) == [Drop("c", reason)]


def test_all_samples_are_asked_for_at_once_each_with_a_seed_of_its_own() -> None:
    backbone = Scripted("No", "No", "No", "No")
    results = made(backbone, case(name="a"), case(name="b"), seed=7, samples=2, temperature=0.8, max_new_tokens=9)
    assert [pair.case.id for pair in results if isinstance(pair, Pair)] == ["a", "b"]
    assert backbone.asked == {
        "ids": ["a", "a", "b", "b"],
        "max_new_tokens": 9,
        "temperature": 0.8,
        "seeds": [seed_for(7, "a", 0), seed_for(7, "a", 1), seed_for(7, "b", 0), seed_for(7, "b", 1)],
    }


def test_a_severity_may_count_as_agreement_by_option() -> None:
    truth = case("Small", "How large is the nodule?")
    assert isinstance(made(Scripted("Large"), truth, samples=1)[0], Pair)
    assert isinstance(made(Scripted("Large"), truth, samples=1, least=0.6)[0], Drop)


def test_what_a_backbone_thinks_aloud_is_no_part_of_its_answer() -> None:
    (pair,) = made(Scripted("<think>Yes?</think>No", "<think>No, it"), case(), samples=2)
    assert isinstance(pair, Pair)
    assert pair.rejected.answer == "No"
    (drop,) = made(Scripted("<think>No, it", "No</think>Yes"), case(), samples=2)
    assert isinstance(drop, Drop)
