"""Examine a live backbone on phantom films: what it sees, what it says, and how far the two are apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mmedpo import Case, LiveBackbone
from mmedpo.models import yes_leanings
from mmedpo_plugins.phantom.findings import LABELS
from mmedpo_plugins.phantom.language import NO, YES
from mmedpo_plugins.phantom.reader import PhantomReader
from mmedpo_plugins.radiology.labels import label_findings
from mmedpo_plugins.radiology.mentions import read_mentions

_LABELS = {"pacemaker": "device"}  # what a report calls a finding, where that is not its label


def examine(
    live: LiveBackbone, split: str = "test", images: int = 500, seed: int = 0, films: str = "clear"
) -> dict[str, Any]:
    """Ask everything about a balanced split and return the figures."""
    reader = PhantomReader(split=split, images=images, seed=seed, films=films, open_questions=9, twins=True)
    every = list(reader.read())
    twins = [case for case in every if "twin_of" in case.notes]
    cases = [case for case in every if "twin_of" not in case.notes]
    answers = dict(zip([case.id for case in every], live.answer(every), strict=True))
    right = {case.id: plain(answers[case.id]) == plain(case.answer) for case in every}
    closed = [case for case in cases if case.kind == "closed"]
    lean = dict(zip([case.id for case in closed], yes_leanings(live, closed), strict=True))
    return {
        "images": images,
        "closed_questions": len(closed),
        **presence(closed, lean),
        "closed": mean(right[case.id] for case in closed),
        "unparsed": mean(plain(answers[case.id]) not in ("yes", "no") for case in closed),
        "yes_when_there": mean(plain(answers[case.id]) == "yes" for case in closed if case.answer == YES),
        "yes_when_absent": mean(plain(answers[case.id]) == "yes" for case in closed if case.answer == NO),
        "flip": mean(right[case.id] and right[case.notes["twin_of"]] for case in twins),
        **traits([case for case in cases if case.kind == "open"], answers),
        **report_figures([case for case in cases if case.kind == "report"], answers),
        "closed_by_finding": by_finding(closed, lambda part: mean(right[case.id] for case in part)),
        "auc_by_finding": by_finding(closed, lambda part: ranking(part, lean)),
    }


def presence(closed: Sequence[Case], lean: dict[str, float]) -> dict[str, float]:
    """Return how well yes against no tells presence, at the best and at the given threshold."""
    return {
        "auc": ranking(closed, lean),
        "auc_mean_of_findings": mean(by_finding(closed, lambda part: ranking(part, lean)).values()),
        "forced_choice": mean((lean[case.id] > 0) == (case.answer == YES) for case in closed),
    }


def ranking(closed: Sequence[Case], lean: dict[str, float]) -> float:
    """Return the AUC of presence."""
    return auc([lean[case.id] for case in closed], [case.answer == YES for case in closed])


def traits(opened: Sequence[Case], answers: dict[str, str]) -> dict[str, float]:
    """Return the share of right sides, places (upper or lower) and sizes; a word that is not said is wrong."""

    def share(aspects: Sequence[str], part: Callable[[str], str]) -> float:
        asked = [case for case in opened if case.notes["aspect"] in aspects]
        return mean(part(plain(answers[case.id])) == part(plain(case.answer)) for case in asked)

    return {
        "side": share(["side"], str),
        "place": share(["place"], str),
        "place_height": share(["place"], lambda text: " ".join({"upper", "lower"} & set(text.split())) or "?" + text),
        "size": share(["size", "severity"], str),
    }


def report_figures(asked: Sequence[Case], answers: dict[str, str]) -> dict[str, float]:
    """Return precision and recall of the findings that reports name, summed over all of them."""
    count: Counter[str] = Counter()
    for case in asked:
        said, true = named(answers[case.id]), named(case.answer)
        count.update(hit=len(said & true), said=len(said), true=len(true), exact=said == true)
    return {
        "report_f1": 2 * count["hit"] / max(count["said"] + count["true"], 1),
        "report_false_claims": 1 - count["hit"] / max(count["said"], 1),
        "report_missed": 1 - count["hit"] / max(count["true"], 1),
        "report_exact": count["exact"] / max(len(asked), 1),
    }


def named(report: str) -> set[str]:
    """Return the findings that a phantom report says are there, by the words for them."""
    stated = label_findings(read_mentions(report))
    present = {_LABELS.get(name, name) for name, label in stated.items() if label.status == "present"}
    return present & set(LABELS)


def plain(text: str) -> str:
    """Return a text without case and full stop."""
    return text.lower().strip(" .")


def auc(scores: Sequence[float], truth: Sequence[bool]) -> float:
    """Return the chance that a positive scores above a negative; ties count half."""
    values, there = np.asarray(scores), np.asarray(truth, dtype=bool)
    if there.all() or not there.any():
        return float("nan")
    above = values[there][:, None] - values[~there][None, :]
    return float(((above > 0) + 0.5 * (above == 0)).mean())


def by_finding(closed: Sequence[Case], figure: Callable[[list[Case]], float]) -> dict[str, float]:
    """Return a figure for each finding."""
    return {label: figure([case for case in closed if case.about == (label,)]) for label in LABELS}


def mean(values: Any) -> float:
    """Return the mean, nan of nothing."""
    listed = [float(value) for value in values]
    return sum(listed) / len(listed) if listed else float("nan")
