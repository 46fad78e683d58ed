"""Measures of reports by the findings they state: which claims the clinician's report bears out, which it misses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import ClassVar, Literal

from pydantic import field_validator

from mmedpo import Case, Metric, Statistics, hookimpl, sum_statistics
from mmedpo_plugins.radiology import lexicon
from mmedpo_plugins.radiology.labels import FindingLabel, label_findings
from mmedpo_plugins.radiology.mentions import ASKED, read_answer, read_mentions

LabelsByFinding = Mapping[str, FindingLabel]


@hookimpl
def mmedpo_metrics() -> list[type[Metric]]:
    return [FindingsMetric]


class FindingsMetric(Metric):
    """Measure reports by the findings they state, read by rules in answer and truth alike.

        evaluate:
          measure: [{use: findings}]

    A finding is claimed where a text states it as present. A claim is right when the truth states the same finding or
    a more specific one ("opacity", where it says consolidation); a true finding is found when the answer claims it or
    a more specific one. All cases count together, not each report alone.

    | measure | what |
    |---|---|
    | `precision`, `recall`, `f1` | right of claimed findings, found of true ones, their harmonic mean |
    | `false_claims` | share of the claimed findings that the truth does not have: 1 - precision |
    | `missed` | share of the true findings that the answer does not have: 1 - recall |
    | `false_reports` | share of the answers with at least one false claim |
    | `side_accuracy`, `place_accuracy` | of findings in both, where the truth gives side or place: exactly those |
    | `unread` | share of the answers in which no finding is stated or denied |
    | `claimed_count`, `true_count`, `report_count` | how many claimed findings, true findings and cases there were |

    A case whose truth states no finding, not even an absent one, is left out. So are cases of other kinds.
    """

    use: ClassVar[str] = "findings"
    additive: ClassVar[bool] = True
    counts: ClassVar[str] = "cases of kind report whose truth states a finding, and open ones with `open_answers: true`"

    uncertain: Literal["present", "absent", "left-out"] = "present"
    """What "possible pneumonia" counts as, in answer and truth: by default as a claim, so that hedging hides nothing;
    left-out takes the finding out of the case on both sides."""
    open_answers: bool = False
    """Whether answers to open questions count too, read together with their question."""
    only: tuple[str, ...] = ()
    """The findings to count, by the names of the labeller (docs/explanation/metrics.md); by default all it knows."""

    @field_validator("only")
    @classmethod
    def _require_known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        known = [finding.name for finding in lexicon.findings()]
        for name in (name for name in names if name not in known):
            near = ", ".join(get_close_matches(name, known)) or "none is near"
            raise ValueError(f"{name!r} is no finding of the labeller ({near}); docs/explanation/metrics.md lists them")
        return names

    def measure(self, cases: Sequence[Case], answers: Sequence[str]) -> list[Statistics]:
        """Return each case's counts of claims, true findings, sides and places."""
        return [self._counts(case, answer) for case, answer in zip(cases, answers, strict=True)]

    def combine(self, statistics: Sequence[Statistics]) -> dict[str, float]:
        """Return the ratios of summed counts; a ratio of nothing is left out."""
        sums = sum_statistics(statistics)
        shares = {name: sums.get(part, 0.0) / sums[of] for name, (part, of) in _SHARES.items() if sums.get(of)}
        if sums.get("claimed", 0.0) + sums.get("true", 0.0):
            precision, recall = shares.get("precision", 0.0), shares.get("recall", 0.0)
            shares["f1"] = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
        shares |= {name: 1 - shares[other] for name, other in _OTHERWISE.items() if other in shares}
        numbers = {f"{name}_count": sums.get(name, 0.0) for name in _COUNTS if sums.get("report")}
        return {name: shares[name] for name in _ORDER if name in shares} | numbers

    def _counts(self, case: Case, answer: str) -> Statistics:
        if case.kind != "report" and not (case.kind == "open" and self.open_answers):
            return {}
        question = case.question if case.kind == "open" else ""
        truth, said = self._labels(question, case.answer), self._labels(question, answer)
        if not truth:
            return {}
        return {"report": 1.0, "unread": float(not said), **counts(*self._decide_uncertain(truth, said), self.only)}

    def _labels(self, question: str, text: str) -> LabelsByFinding:
        found = label_findings(read_answer(question, text) if question else read_mentions(text))
        return {name: label for name, label in found.items() if name != ASKED}

    def _decide_uncertain(
        self, truth: LabelsByFinding, said: LabelsByFinding
    ) -> tuple[LabelsByFinding, LabelsByFinding]:
        """Return what each text claims, after the uncertain findings have been taken for what the recipe says."""
        doubted = {name for text in (truth, said) for name, label in text.items() if label.status == "uncertain"}
        left_out = doubted if self.uncertain == "left-out" else frozenset()
        wanted = {"present", "uncertain"} if self.uncertain == "present" else {"present"}
        one, other = (
            {name: label for name, label in text.items() if label.status in wanted and name not in left_out}
            for text in (truth, said)
        )
        return one, other


_SHARES = {
    "precision": ("right", "claimed"),
    "recall": ("found", "true"),
    "false_reports": ("false", "report"),
    "side_accuracy": ("side_right", "sided"),
    "place_accuracy": ("place_right", "placed"),
    "unread": ("unread", "report"),
}
_OTHERWISE = {"false_claims": "precision", "missed": "recall"}
_COUNTS = ("claimed", "true", "report")
_ORDER = (
    "f1",
    "precision",
    "recall",
    "false_claims",
    "missed",
    "false_reports",
    "side_accuracy",
    "place_accuracy",
    "unread",
)


def counts(truth: LabelsByFinding, said: LabelsByFinding, only: Sequence[str] = ()) -> dict[str, float]:
    """Count claims, true findings, and the sides and places of what both state; of some findings only, if named."""
    claimed, true = ([name for name in text if name in (only or text)] for text in (said, truth))
    right = [name for name in claimed if is_entailed(name, truth)]
    found = [name for name in true if is_entailed(name, said)]
    both = [(truth[name], said[name]) for name in true if name in said]
    sides = [one.sides == other.sides for one, other in both if one.sides]
    places = [one.places == other.places for one, other in both if one.places]
    numbers = {
        "claimed": len(claimed),
        "right": len(right),
        "false": len(right) < len(claimed),
        "true": len(true),
        "found": len(found),
        "sided": len(sides),
        "side_right": sum(sides),
        "placed": len(places),
        "place_right": sum(places),
    }
    return {name: float(number) for name, number in numbers.items()}


def is_entailed(name: str, stated: LabelsByFinding) -> bool:
    """Tell whether one of the stated findings is this one or a more specific one."""
    return any(name == other or lexicon.covers(name, other) for other in stated)
