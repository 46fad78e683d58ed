"""What is read of a text: findings, and how surely, where, how severe and since when."""

from __future__ import annotations

import time
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmedpo_plugins.radiology.lexicon import BOTH
from mmedpo_plugins.radiology.mentions import read_answer, read_mentions, yes_or_no
from mmedpo_plugins.radiology.traits import FindingMention
from radlabels_triples import installed, labels

LEFT, RIGHT = frozenset({"left"}), frozenset({"right"})
UPPER, LOWER = frozenset({"upper"}), frozenset({"lower"})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Small right upper lobe nodule.", [FindingMention("nodule", sides=RIGHT, places=UPPER, severity=1)]),
        (
            "No pneumothorax or effusion.",
            [FindingMention("pneumothorax", "absent"), FindingMention("effusion", "absent")],
        ),
        ("The lungs are clear.", [FindingMention("opacity", "absent")]),
        ("The lungs are not clear.", [FindingMention("opacity")]),
        ("The heart is not enlarged.", [FindingMention("cardiomegaly", "absent")]),
        ("Heart size is normal.", [FindingMention("cardiomegaly", "absent")]),
        ("The heart is mildly enlarged.", [FindingMention("cardiomegaly", severity=1)]),
        ("Pneumonia cannot be excluded.", [FindingMention("pneumonia", "uncertain")]),
        ("The pneumothorax has resolved.", [FindingMention("pneumothorax", "absent")]),
        ("No change in the left effusion.", [FindingMention("effusion", sides=LEFT, trend="same")]),
        ("Evaluation for pneumothorax is limited.", []),
        ("HISTORY: Pneumonia.\n\nFINDINGS: Mild edema.", [FindingMention("edema", severity=1)]),
        ("Mild to moderate edema, improved.", [FindingMention("edema", severity=1.5, trend="better")]),
        ("A 1.2 cm nodule.", [FindingMention("nodule", size=12)]),
        ("Effusions, larger on the left.", [FindingMention("effusion", sides=LEFT, more="left")]),
        ("Bilateral effusions, right greater than left.", [FindingMention("effusion", sides=BOTH, more="right")]),
        (
            "Moderate left and small right effusions.",
            [FindingMention("effusion", sides=LEFT, severity=2), FindingMention("effusion", sides=RIGHT, severity=1)],
        ),
        (
            "Opacity at the left base may represent atelectasis.",
            [FindingMention("opacity", sides=LEFT, places=LOWER), FindingMention("atelectasis", "uncertain")],
        ),
        (
            "No effusion, but the heart is enlarged and there is edema.",
            [FindingMention("effusion", "absent"), FindingMention("cardiomegaly"), FindingMention("edema")],
        ),
        ("A picture of a cat.", []),
        ("", []),
    ],
)
def test_it_reads_findings_negation_doubt_side_place_severity_and_trend(
    text: str, expected: list[FindingMention]
) -> None:
    assert read_mentions(text) == expected


@pytest.mark.parametrize(
    ("question", "answer", "expected"),
    [
        ("Is there a nodule?", "Yes", [FindingMention("nodule")]),
        ("Is there a nodule?", "No", [FindingMention("nodule", "absent")]),
        ("Are the lungs normal?", "No.", [FindingMention("opacity")]),
        ("Is there a nodule on the left?", "no", [FindingMention("nodule", "absent", sides=LEFT)]),
        ("Is there a nodule?", "No pneumothorax.", [FindingMention("pneumothorax", "absent")]),
        ("Is there a nodule?", "No, the film shows a nodule.", [FindingMention("nodule", "absent")]),
        ("Which side is the mass on?", "The left side.", [FindingMention("mass", sides=LEFT)]),
        ("How severe is the edema?", "Severe", [FindingMention("edema", severity=3)]),
        ("Which side is the catheter on?", "The mass is large.", [FindingMention("mass", severity=3)]),
        ("Where is the infarct?", "The infarct is in the thumb.", []),
    ],
)
def test_an_answer_is_read_with_its_question(question: str, answer: str, expected: list[FindingMention]) -> None:
    assert read_answer(question, answer) == expected


@pytest.mark.parametrize(
    ("answer", "said"), [("Yes, left", "yes"), ("NO.", "no"), ("No nodule", ""), ("No it is not", "no"), ("Nodule", "")]
)
def test_yes_or_no_is_what_an_answer_opens_with(answer: str, said: str) -> None:
    assert yes_or_no(answer) == said


@settings(deadline=None)
@given(st.text(max_size=200), st.text(max_size=200))
def test_any_text_is_read_without_complaint(question: str, answer: str) -> None:
    read_answer(question, answer)


@pytest.mark.parametrize("text", ["No effusion, " * 1000, "x" * 50_000, "pulmonary " * 5000, "left and right " * 3000])
def test_endless_repetition_is_read_in_a_moment(text: str) -> None:
    started = time.process_time()
    read_mentions(text)
    assert time.process_time() - started < 5


needs_radlabels = pytest.mark.skipif(not installed(), reason="radlabels is not here: pip install --no-deps radlabels")


@needs_radlabels
def test_what_reports_state_as_present_or_absent_is_read_so() -> None:
    names = {"pneumothorax": "pneumothorax", "pleural_effusion": "effusion", "cardiomegaly": "cardiomegaly"}
    names |= {"atelectasis": "atelectasis", "pulmonary_edema": "edema", "consolidation": "consolidation"}
    read_so: Counter[tuple[str, bool]] = Counter()
    for text, truth in labels("held out"):
        mentions = read_mentions(text)
        for label, name in names.items():
            said = {mention.status for mention in mentions if mention.finding == name}
            if label in truth and said:
                read_so[truth[label], (said == {"absent"}) == (truth[label] == "definitely absent")] += 1
    for status in ("definitely present", "definitely absent"):
        assert read_so[status, True] / (read_so[status, True] + read_so[status, False]) > 0.97
