"""Reports of hard films, each in the manner of one of four writers: plain, terse, wordy, or denying what is absent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from mmedpo_plugins.phantom.findings import LABELS, PhantomFinding
from mmedpo_plugins.phantom.language import NAMES, report, severity

PhantomWriter = Callable[[Sequence[PhantomFinding]], str]


def writer_for(random: Random) -> PhantomWriter:
    """Draw a writer."""
    return random.choice(WRITERS)


def write_tersely(findings: Sequence[PhantomFinding]) -> str:
    """Write what is seen without a verb, the heart first."""
    heart, lungs, devices = _parts(findings)
    said = [[_terse(one) for one in some] for some in (heart, lungs, devices)]
    return " ".join([*(said[0] or ["Normal heart size."]), *(said[1] or ["Clear lungs."]), *said[2]])


def _terse(finding: PhantomFinding) -> str:
    lobe = f"{finding.side} {finding.place} lobe"
    words = {
        "nodule": f"{finding.size} {lobe} nodule",
        "consolidation": f"{lobe} consolidation",
        "effusion": f"{finding.size} {finding.side} pleural effusion",
        "pneumothorax": f"{finding.size} {finding.side} pneumothorax",
        "cardiomegaly": f"{severity(finding)} cardiomegaly",
        "device": f"{finding.side} pacemaker",
    }[finding.label]
    return f"{words.capitalize()}."


def write_at_length(findings: Sequence[PhantomFinding]) -> str:
    """Write whole sentences, the last finding first, and that the rest is as it should be."""
    heart, lungs, devices = _parts(findings)
    said = [_sentence(one) for one in [*devices, *reversed(lungs)]]
    said += [] if lungs else ["The lungs are well expanded and clear."]
    said += [_sentence(one) for one in heart] or ["The heart is normal in size."]
    return " ".join([*said, "The bones are intact."])


def _sentence(finding: PhantomFinding) -> str:
    lobe = f"in the {finding.side} {finding.place} lobe"
    return {
        "nodule": f"A {finding.size} nodule is seen {lobe}.",
        "consolidation": f"There is an area of consolidation {lobe}.",
        "effusion": f"A {finding.size} pleural effusion is present on the {finding.side}.",
        "pneumothorax": f"A {finding.size} pneumothorax is present on the {finding.side}.",
        "cardiomegaly": f"The heart shows {severity(finding).lower()} cardiomegaly.",
        "device": f"A pacemaker is seen on the {finding.side}.",
    }[finding.label]


def write_with_denials(findings: Sequence[PhantomFinding]) -> str:
    """Write tersely what is there, and deny the rest; clear lungs have neither nodule nor consolidation."""
    heart, lungs, devices = _parts(findings)
    said = {*(one.label for one in findings), *(() if lungs else ("nodule", "consolidation"))}
    denied = _either([NAMES[label] for label in LABELS if label not in said])
    return " ".join([*map(_terse, [*lungs, *heart, *devices]), *(() if lungs else ["Clear lungs."]), f"No {denied}."])


def _either(names: Sequence[str]) -> str:
    return " or ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _parts(
    findings: Sequence[PhantomFinding],
) -> tuple[list[PhantomFinding], list[PhantomFinding], list[PhantomFinding]]:
    """Return what is seen of the heart, of the lungs, and of what was put in."""
    heart = [one for one in findings if one.label == "cardiomegaly"]
    devices = [one for one in findings if one.label == "device"]
    return heart, [one for one in findings if one not in heart and one not in devices], devices


WRITERS: tuple[PhantomWriter, ...] = (report, write_tersely, write_at_length, write_with_denials)
