"""F1 of reports at any rate of false claims: a report's claims have no score, so samples of it vote on each finding."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from mmedpo_plugins.metrics.findings import FindingsMetric, LabelsByFinding, counts
from mmedpo_plugins.radiology.labels import FindingLabel, label_findings
from mmedpo_plugins.radiology.mentions import read_mentions

from mmedpo import Case, LiveBackbone, seed_for, sum_statistics

LONGEST = 128  # tokens
SAMPLES = 8  # of each report
COUNTED = ("claimed", "right", "true", "found")


def report_curve(
    live: LiveBackbone, cases: Sequence[Case], samples: int = SAMPLES, seed: int = 0
) -> list[dict[str, float]]:
    """Return F1 and the share of false claims where a finding is claimed from so many votes on, the strictest first.

    Each of the samples, at temperature 1, has a vote on each finding, and the greedy report more than all of them: so
    the curve goes through what the model says, and votes tell what it would drop first and add first. By votes alone a
    small model is another one: F1 .66 instead of .86 at .10 of false claims (200 films of the phantom, no training).
    """
    asked = [case for case in cases if case.kind == "report"]
    greedy = [read_claims(text) for text in live.answer(asked, max_new_tokens=LONGEST)]
    seeds = [seed_for(seed, case.id, str(number)) for case in asked for number in range(samples)]
    repeated = [case for case in asked for _ in range(samples)]
    drawn = [read_claims(said) for said in live.answer(repeated, max_new_tokens=LONGEST, temperature=1.0, seeds=seeds)]
    votes = [_count_votes(one, drawn[at * samples :][:samples]) for at, one in enumerate(greedy)]
    return measure_thresholds([read_claims(case.answer) for case in asked], votes)


def read_claims(report: str) -> LabelsByFinding:
    """Return the findings that a report states, as the metric `findings` reads them."""
    stated = label_findings(read_mentions(report))
    return {name: label for name, label in stated.items() if label.status != "absent"}


def _count_votes(greedy: LabelsByFinding, drawn: Sequence[LabelsByFinding]) -> dict[str, float]:
    votes = Counter(name for claims in drawn for name in claims)
    return {name: votes[name] + (name in greedy) * (len(drawn) + 1.0) for name in {**votes, **greedy}}


def measure_thresholds(
    truths: Sequence[LabelsByFinding], votes: Sequence[Mapping[str, float]]
) -> list[dict[str, float]]:
    """Return a row a number of votes from which on a finding is claimed, with what it comes to over all reports."""
    levels = sorted({count for of_report in votes for count in of_report.values()}, reverse=True)
    return [{"threshold": level, **_measure_threshold(truths, votes, level)} for level in levels]


def _measure_threshold(
    truths: Sequence[LabelsByFinding], votes: Sequence[Mapping[str, float]], level: float
) -> dict[str, float]:
    claimed = [{name: FindingLabel("present") for name, count in one.items() if count >= level} for one in votes]
    summed = sum_statistics([counts(truth, said) for truth, said in zip(truths, claimed, strict=True)])
    measured = FindingsMetric().combine([summed])
    return {name: measured[name] for name in ("f1", "false_claims")} | {name: summed[name] for name in COUNTED}


def greedy_row(curve: Sequence[Mapping[str, float]], samples: int = SAMPLES) -> Mapping[str, float]:
    """Return the row of what the greedy reports claim, and no more."""
    return [row for row in curve if row["threshold"] > samples][-1]


def f1_at(curve: Sequence[Mapping[str, float]], rate: float) -> float:
    """Return F1 at a share of false claims; nan where the strictest threshold has a greater one.

    Between two thresholds, some of the reports go by one and the others by the next, as many as it takes.
    """
    kept = [place for place, row in enumerate(curve) if row["false_claims"] <= rate]
    if not kept:
        return float("nan")
    strict, *laxer = curve[kept[-1] : kept[-1] + 2]
    if not laxer:
        return strict["f1"]
    short, over = (row["claimed"] * (row["false_claims"] - rate) for row in (strict, *laxer))
    share = short / (short - over)  # of the reports that go by the laxer one
    mixed = {name: (1 - share) * strict[name] + share * laxer[0][name] for name in COUNTED}
    return FindingsMetric().combine([mixed])["f1"]
