"""Measures of reports by their words: BLEU, ROUGE-L, METEOR."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import ClassVar, Literal

from pydantic import field_validator

from mmedpo import Case, Metric, Statistics, hookimpl, sum_statistics

ORDERS = range(1, 5)


@hookimpl
def mmedpo_metrics() -> list[type[Metric]]:
    return [ReportTextMetric]


class ReportTextMetric(Metric):
    """Measure how far reports use the words of the clinicians' reports; other cases are left out.

        evaluate:
          measure: [{use: report-text}, {use: findings}]

    | measure | what |
    |---|---|
    | `bleu_1` to `bleu_4` | corpus BLEU up to that order: all n-grams of all reports counted together |
    | `bleu` | the mean of the four, as MMedPO reports it |
    | `rouge_l` | mean F1 of the longest common subsequence of words |
    | `meteor` or `meteor_stems` | mean METEOR, where asked for |
    | `report_count` | how many reports there were |

    All are shares, 0 to 1. Words are lower case, as sacrebleu's tokenizer 13a splits them (ROUGE-L: letters and digits
    only). They say how a report is worded, not whether it is true: see `findings`.
    """

    use: ClassVar[str] = "report-text"
    additive: ClassVar[bool] = True
    counts: ClassVar[str] = "cases of kind report"

    meteor: Literal["off", "wordnet", "stems"] = "off"
    """METEOR as nltk computes it. wordnet: the measure proper, with synonyms; needs nltk's data (`python -m
    nltk.downloader wordnet`). stems: the same without synonyms, called meteor_stems, for it is another measure."""

    @field_validator("meteor")
    @classmethod
    def _has_wordnet(cls, meteor: str) -> str:
        if meteor == "wordnet" and not _wordnet():
            raise ValueError(
                "METEOR needs WordNet, which nltk does not find here: run `python -m nltk.downloader wordnet` (where"
                " there is no internet, put its folder into ~/nltk_data/corpora), or say meteor: stems"
            )
        return meteor

    def measure(self, cases: Sequence[Case], answers: Sequence[str]) -> list[Statistics]:
        """Return each report's n-gram counts, lengths, and sentence scores."""
        scorers = _text_scorers(self.meteor)
        return [
            {"report": 1.0} | {name: value for score in scorers for name, value in score(case.answer, answer).items()}
            if case.kind == "report"
            else {}
            for case, answer in zip(cases, answers, strict=True)
        ]

    def combine(self, statistics: Sequence[Statistics]) -> dict[str, float]:
        """Return corpus BLEU of the summed counts, and means of the rest."""
        sums = sum_statistics(statistics)
        reports = sums.get("report")
        if not reports:
            return {}
        bleu = {f"bleu_{order}": _corpus_bleu(sums, order) for order in ORDERS}
        names: Sequence[str] = ("rouge_l", "meteor", "meteor_stems")
        means = {name: sums[name] / reports for name in names if name in sums}
        return {"bleu": sum(bleu.values()) / len(bleu), **bleu, **means, "report_count": reports}


TextScorer = Callable[[str, str], dict[str, float]]  # truth and answer to statistics


def _text_scorers(meteor: str) -> list[TextScorer]:
    return [_ngram_scorer(), _rouge_scorer(), *([_meteor_scorer(meteor)] if meteor != "off" else [])]


def _ngram_scorer() -> TextScorer:
    """Return what counts n-grams: right and said of each order, and both lengths."""
    from sacrebleu.metrics import BLEU

    counter = BLEU(lowercase=True, effective_order=True)

    def score(truth: str, answer: str) -> dict[str, float]:
        found = counter.sentence_score(answer, [truth])
        counts = {f"right_{order}": float(found.counts[order - 1]) for order in ORDERS}
        counts |= {f"said_{order}": float(found.totals[order - 1]) for order in ORDERS}
        return {**counts, "length": float(found.sys_len), "true_length": float(found.ref_len)}

    return score


def _corpus_bleu(sums: Statistics, order: int) -> float:
    from sacrebleu.metrics import BLEU

    right, said = ([int(sums[f"{what}_{n}"]) for n in range(1, order + 1)] for what in ("right", "said"))
    lengths = int(sums["length"]), int(sums["true_length"])
    return float(BLEU.compute_bleu(right, said, *lengths, smooth_method="none", max_ngram_order=order).score) / 100


def _rouge_scorer() -> TextScorer:
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rougeL"], use_stemmer=False)
    return lambda truth, answer: {"rouge_l": float(scorer.score(truth, answer)["rougeL"].fmeasure)}


def _meteor_scorer(how: str) -> TextScorer:
    from nltk.corpus import wordnet
    from nltk.translate.meteor_score import single_meteor_score

    name, synonyms = ("meteor", wordnet) if how == "wordnet" else ("meteor_stems", _NoSynonyms())
    return lambda truth, answer: {name: float(single_meteor_score(_words(truth), _words(answer), wordnet=synonyms))}


class _NoSynonyms:
    """Stands in for WordNet where a word has but its stem."""

    def synsets(self, word: str) -> list[object]:
        return []


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def _wordnet() -> bool:
    """Tell whether nltk has WordNet, whole."""
    from nltk.corpus import wordnet

    try:
        wordnet.ensure_loaded()
    except (LookupError, OSError):
        return False
    return True
