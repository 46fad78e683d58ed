"""What is asked about a phantom and what a clinician answers, in plain radiology English."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Literal

from mmedpo_plugins.phantom.findings import LABELS, PLACED, SIDED, SIZED, PhantomFinding

NAMES = {
    "nodule": "nodule",
    "consolidation": "consolidation",
    "effusion": "pleural effusion",
    "pneumothorax": "pneumothorax",
    "cardiomegaly": "cardiomegaly",
    "device": "pacemaker",
}
CLOSED = ("Is there {a}?", "Does the image show {a}?", "Is {a} seen?")
OPEN = {
    "side": ("On which side is the {name}?", "Which side is the {name} on?"),
    "place": ("Where is the {name}?", "In which lobe is the {name}?"),
    "size": ("How large is the {name}?",),
    "severity": ("How severe is the {name}?",),
}
REPORT = ("Describe the findings.", "Describe the image.")
YES, NO = "Yes", "No"


@dataclass(frozen=True)
class PhantomQuestion:
    """One question about one image, with the true answer."""

    kind: Literal["closed", "open", "report"]
    question: str
    answer: str
    label: str = ""  # the finding it is about; "" for a report
    aspect: str = ""  # of an open question: side, place, size or severity


def interview(
    findings: Sequence[PhantomFinding],
    random: Random,
    closed: int,
    opened: int,
    reports: int,
    sides: bool = False,
    write: Callable[[Sequence[PhantomFinding]], str] | None = None,
) -> Iterator[PhantomQuestion]:
    """Ask so many questions of each kind, fewer where there is less to ask; `write` is who writes the report.

    Among four closed questions all findings that are there come first, so that with the balanced world's 2 findings
    an image half of the answers are yes; fewer questions are a random choice of the four.
    """
    yield from (_side_questions if sides else _presence_questions)(findings, random, closed)
    details = [(finding, aspect) for finding in findings for aspect in aspects(finding)]
    for finding, aspect in random.sample(details, min(opened, len(details))):
        yield ask_trait(finding, aspect, random.choice(OPEN[aspect]))
    for question in random.sample(REPORT, min(reports, len(REPORT))):
        yield PhantomQuestion("report", question, (write or report)(findings))


def _presence_questions(findings: Sequence[PhantomFinding], random: Random, closed: int) -> Iterator[PhantomQuestion]:
    """Ask whether findings are there."""
    labels = [finding.label for finding in findings]
    absent = [label for label in LABELS if label not in labels]
    asked = [*labels, *random.sample(absent, max(closed, 4) - len(labels))]
    random.shuffle(asked)
    for label in asked[:closed]:
        yield ask_presence(label, label in labels, random.choice(CLOSED))


def _side_questions(findings: Sequence[PhantomFinding], random: Random, closed: int) -> Iterator[PhantomQuestion]:
    """Ask whether findings are there on a side; every other denial is about the other side of what is there."""
    absent = [label for label in LABELS if label not in {finding.label for finding in findings}]
    mirrored = [finding for finding in findings if finding.side]
    random.shuffle(absent)
    random.shuffle(mirrored)
    asked = [ask_presence(finding.label, True, random.choice(CLOSED), finding.side) for finding in findings]
    while len(asked) < max(closed, 4):
        form = random.choice(CLOSED)
        if mirrored and (len(asked) - len(findings)) % 2 == 0:
            finding = mirrored.pop()
            denied = ask_presence(finding.label, False, form, "left" if finding.side == "right" else "right")
            asked.append(replace(denied, label=""))  # it is about nothing that can be shown
        else:
            label = absent.pop()
            asked.append(ask_presence(label, False, form, random.choice(("left", "right")) if label in SIDED else ""))
    random.shuffle(asked)
    yield from asked[:closed]


def ask_presence(label: str, there: bool, form: str = CLOSED[0], side: str = "") -> PhantomQuestion:
    """Ask whether a finding is there, or is there on a side."""
    name = f"{side} {NAMES[label]}".strip()
    article = "" if label in ("consolidation", "cardiomegaly") else "a "
    return PhantomQuestion("closed", form.format(a=article + name), YES if there else NO, label)


def ask_trait(finding: PhantomFinding, aspect: str, form: str | None = None) -> PhantomQuestion:
    """Ask for a trait of a finding."""
    question = (form or OPEN[aspect][0]).format(name=NAMES[finding.label])
    return PhantomQuestion("open", question, _TRAITS[aspect](finding), finding.label, aspect)


def aspects(finding: PhantomFinding) -> list[str]:
    """Return what can be asked of a finding."""
    sized = [] if finding.label not in SIZED else ["severity" if finding.label == "cardiomegaly" else "size"]
    return ["side"] * (finding.label in SIDED) + ["place"] * (finding.label in PLACED) + sized


def report(findings: Sequence[PhantomFinding]) -> str:
    """Write what is seen; lungs and heart are called normal where they are."""
    labels = {finding.label for finding in findings}
    lungs = [_sentence(finding) for finding in findings if finding.label not in ("cardiomegaly", "device")]
    heart = [_sentence(finding) for finding in findings if finding.label == "cardiomegaly"]
    devices = [_sentence(finding) for finding in findings if finding.label == "device"]
    assert len(labels) == len(findings), "one finding of a kind"
    return " ".join([*(lungs or ["The lungs are clear."]), *(heart or ["The heart is normal in size."]), *devices])


def _sentence(finding: PhantomFinding) -> str:
    lobe = f"{finding.side} {finding.place} lobe"
    return {
        "nodule": f"There is a {finding.size} {lobe} nodule.",
        "consolidation": f"There is {lobe} consolidation.",
        "effusion": f"There is a {finding.size} {finding.side} pleural effusion.",
        "pneumothorax": f"There is a {finding.size} {finding.side} pneumothorax.",
        "cardiomegaly": f"There is {severity(finding).lower()} cardiomegaly.",
        "device": f"There is a {finding.side} pacemaker.",
    }[finding.label]


def severity(finding: PhantomFinding) -> str:
    """Return how much a heart is enlarged."""
    return "Severe" if finding.size == "large" else "Mild"


_TRAITS: dict[str, Callable[[PhantomFinding], str]] = {
    "side": lambda finding: finding.side.capitalize(),
    "place": lambda finding: f"{finding.side.capitalize()} {finding.place} lobe",
    "size": lambda finding: finding.size.capitalize(),
    "severity": severity,
}
