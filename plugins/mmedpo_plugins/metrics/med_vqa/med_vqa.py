"""Measures of medical visual question answering: strict closed accuracy and what it hides, open recall and F1."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

from mmedpo import Case, Metric, Statistics, sum_statistics
from mmedpo_plugins.metrics.med_vqa import llava_med
from mmedpo_plugins.metrics.med_vqa.cautions import cautions
from mmedpo_plugins.radiology.answer_words import answer_words

_YES_NO = re.compile(r"(?<![^\W_])(yes|no)(?![^\W_])", re.IGNORECASE)


class MedVqaMetric(Metric):
    """Measure answers to closed and open questions; cases of kind report are left out.

        evaluate:
          measure: [{use: med-vqa}]

    | measure | of | what |
    |---|---|---|
    | `closed_accuracy` | closed questions | the first whole word yes or no of the answer is that of the truth |
    | `closed_balanced_accuracy` | yes-or-no questions | mean of the next two: .5 for who always says the same |
    | `closed_sensitivity` | those where yes is true | share of answers that say yes |
    | `closed_specificity` | those where no is true | share of answers that say no |
    | `closed_unparsed` | closed questions | share of answers with neither word; they count as wrong |
    | `closed_yes`, `closed_yes_true` | closed questions | share of answers, and of truths, that say yes |
    | `open_recall` | open questions | token recall as LLaVA-Med defines it |
    | `open_f1` | open questions | token F1 over bags of words |
    | `open_exact` | open questions | share of answers that are the truth, word for word, and nothing else |
    | `closed_count`, `open_count` | | how many questions there were |

    A closed question with another truth than yes or no (left, MRI) is answered when the words of the truth stand
    together in the answer and no other word does that the question offers beside "or".
    """

    use: ClassVar[str] = "med-vqa"
    additive: ClassVar[bool] = True
    better: ClassVar[dict[str, int]] = {
        "closed_accuracy": 1,
        "closed_balanced_accuracy": 1,
        "closed_sensitivity": 1,
        "closed_specificity": 1,
        "closed_unparsed": -1,
        "open_recall": 1,
        "open_f1": 1,
        "open_exact": 1,
    }
    counts: ClassVar[str] = "cases of kind closed and open"

    legacy: bool = False
    """Add the forms that published numbers were computed with, to compare with those: `closed_accuracy_legacy` (the
    truth is a substring of the answer; "no" is found in "normal"), `closed_accuracy_llava_med` and
    `open_recall_llava_med` (LLaVA-Med's script as of 1.0.0), `closed_accuracy_llava_med_2023` (the script before; see
    docs/explanation/metrics.md)."""

    def measure(self, cases: Sequence[Case], answers: Sequence[str]) -> list[Statistics]:
        """Return each case's share of the sums that `combine` divides."""
        return [self._case_statistics(case, answer) for case, answer in zip(cases, answers, strict=True)]

    def combine(self, statistics: Sequence[Statistics]) -> dict[str, float]:
        """Return means over the closed and over the open cases; a kind without cases has no measure."""
        sums = sum_statistics(statistics)
        measures: dict[str, float] = {}
        for kind in ("closed", "open"):
            if count := sums.get(kind):
                names = [name for name in sums if name.startswith(kind + "_") and name not in _OF_OTHERS]
                measures |= {name: sums[name] / count for name in names}
                measures |= _partial_measures(sums) if kind == "closed" else {}
                measures[f"{kind}_count"] = float(count)
        return {name: measures[name] for name in sorted(measures, key=_table_place)}

    def cautions(self, before: Mapping[str, float], after: Mapping[str, float] | None) -> list[str]:
        """Say where closed accuracy does not tell whether the model answers better."""
        return list(cautions(before, after))

    def _case_statistics(self, case: Case, answer: str) -> Statistics:
        if case.kind == "open":
            return self._open_statistics(case.answer, answer)
        return self._closed_statistics(case, answer) if case.kind == "closed" else {}

    def _open_statistics(self, truth: str, answer: str) -> Statistics:
        sums = {
            "open": 1.0,
            "open_recall": token_recall(answer, truth),
            "open_f1": token_f1(answer, truth),
            "open_exact": float(answer_words(answer) == answer_words(truth)),
        }
        if self.legacy:
            sums["open_recall_llava_med"] = token_recall(answer, truth, llava_med.script_words)
        return sums

    def _closed_statistics(self, case: Case, answer: str) -> Statistics:
        said, truth = yes_or_no(answer), yes_or_no(case.answer)
        right = said == truth if truth else is_choice_named(case.question, case.answer, answer)
        sums = {
            "closed": 1.0,
            "closed_accuracy": float(right),
            "closed_unparsed": float(bool(truth) and not said),
            "closed_yes": float(said == "yes"),
            "closed_yes_true": float(truth == "yes"),
        }
        if truth:
            sums |= {f"closed_{truth}_asked": 1.0, f"closed_{truth}_right": float(right)}
        if self.legacy:
            sums["closed_accuracy_legacy"] = float(case.answer.strip().lower() in answer.lower())
            sums |= llava_med.closed_statistics(case.answer, answer)
        return sums


# Sums that are not divided by the number of closed questions: measure, what of it is right, of how many.
_SHARES = {
    "closed_sensitivity": ("closed_yes_right", "closed_yes_asked"),
    "closed_specificity": ("closed_no_right", "closed_no_asked"),
    llava_med.ACCURACY_2023: (llava_med.ACCURACY_2023, llava_med.COUNTED_2023),
}
_OF_OTHERS = {name for both in _SHARES.values() for name in both}
_ORDER = ("accuracy", "balanced_accuracy", "sensitivity", "specificity", "unparsed", "yes", "yes_true")


def _partial_measures(sums: Statistics) -> dict[str, float]:
    """Return the measures of some closed questions alone."""
    measures = {name: sums[right] / sums[of] for name, (right, of) in _SHARES.items() if sums.get(of)}
    if "closed_sensitivity" in measures and "closed_specificity" in measures:
        both = measures["closed_sensitivity"] + measures["closed_specificity"]
        measures["closed_balanced_accuracy"] = both / 2
    return measures


def _table_place(measure: str) -> tuple[bool, int, bool]:
    """Return where a measure stands in the table: closed before open, counts last of each."""
    kind, _, name = measure.partition("_")
    return kind != "closed", _ORDER.index(name) if name in _ORDER else len(_ORDER), name == "count"


def yes_or_no(answer: str) -> str | None:
    """Return the first whole word yes or no, in lower case; None when there is neither."""
    found = _YES_NO.search(unicodedata.normalize("NFKC", answer))
    return found.group().lower() if found else None


def is_choice_named(question: str, truth: str, answer: str) -> bool:
    """Tell whether an answer names the truth and no other alternative of an "or" in the question."""
    said, wanted = answer_words(answer), answer_words(truth)
    offered = {word for both in re.findall(r"(\S+) or (?=(\S+))", " ".join(answer_words(question))) for word in both}
    stands = f" {' '.join(wanted)} " in f" {' '.join(said)} "
    return stands and not (offered - set(wanted)) & set(said)


def token_recall(answer: str, truth: str, words: Callable[[str], list[str]] = answer_words) -> float:
    """Return hits / (hits + missed), in which a truth's word counts as a hit as often as the answer says it.

    This is how LLaVA-Med computes the recall that papers report; an answer that repeats a right word gains by it.
    """
    said, wanted = Counter(words(answer)), Counter(words(truth))
    hits = sum(count for word, count in said.items() if word in wanted)
    missed = sum(count for word, count in wanted.items() if word not in said)
    return hits / (hits + missed) if hits else 0.0


def token_f1(answer: str, truth: str) -> float:
    """Return the harmonic mean of precision and recall over bags of words, where repeating a word gains nothing."""
    said, wanted = Counter(answer_words(answer)), Counter(answer_words(truth))
    common = (said & wanted).total()
    return 2 * common / (said.total() + wanted.total()) if common else 0.0
