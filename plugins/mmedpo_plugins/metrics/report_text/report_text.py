"""Measures of reports by their words: BLEU, ROUGE-L, METEOR."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import ClassVar, Literal, Self

from pydantic import model_validator

from mmedpo import Case, ExistingFolder, Metric, Statistics, sum_statistics
from mmedpo_plugins.metrics.report_text.legacy import LEGACY, ORDERS, score_report
from mmedpo_plugins.metrics.report_text.meteor import (
    FULL,
    STEMS,
    describe_meteor,
    explain_missing_wordnet,
    meteor_scorer,
)


class ReportTextMetric(Metric):
    """Measure how far reports use the words of the clinicians' reports; other cases are left out.

        evaluate:
          measure: [{use: report-text}, {use: findings}]

    | measure | what |
    |---|---|
    | `bleu_1` to `bleu_4` | corpus BLEU up to that order: all n-grams of all reports counted together |
    | `bleu` | the mean of the four, as MMedPO reports it |
    | `rouge_l` | mean F1 of the longest common subsequence of words |
    | `meteor_nltk` or `meteor_nltk_stems` | mean METEOR of nltk, where asked for |
    | `report_count` | how many reports there were |

    All are shares, 0 to 1. Words are lower case, as sacrebleu's tokenizer 13a splits them (ROUGE-L: letters and digits
    only). They say how a report is worded, not whether it is true: see `findings`.
    """

    use: ClassVar[str] = "report-text"
    additive: ClassVar[bool] = True
    counts: ClassVar[str] = "cases of kind report"

    meteor: Literal["off", "wordnet", "stems"] = "off"
    """METEOR as nltk computes it. wordnet: the measure proper, with synonyms, called meteor_nltk; needs WordNet's data
    on this machine. stems: the same without synonyms, called meteor_nltk_stems, for it is another measure."""
    wordnet: ExistingFolder | None = None
    """The folder of WordNet's files (index.noun, data.noun ...), /usr/share/wordnet of Debian's package wordnet-base,
    say; without it, what nltk finds in its own folders. Nothing is downloaded."""
    legacy: bool = False
    """Add other definitions that published numbers may have: `bleu_legacy` and `bleu_1_legacy` to `bleu_4_legacy`
    (means over reports of nltk's sentence BLEU), `rouge_l_legacy` (beta 1.2, as coco-caption; see
    docs/explanation/metrics.md)."""

    @model_validator(mode="after")
    def _wants_wordnet(self) -> Self:
        if self.wordnet and self.meteor != "wordnet":
            raise ValueError("wordnet: is for meteor: wordnet, which is not asked for")
        return self

    def lacking(self) -> Iterator[str]:
        """Yield what of WordNet is not here."""
        if self.meteor == "wordnet" and (gone := explain_missing_wordnet(self.wordnet)):
            yield gone

    @property
    def _meteor_name(self) -> str:
        return {"off": "", "wordnet": FULL, "stems": STEMS}[self.meteor]

    def measure(self, cases: Sequence[Case], answers: Sequence[str]) -> list[Statistics]:
        """Return each report's n-gram counts, lengths, and sentence scores."""
        scorers = self._text_scorers()
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
        means = {name: sums[name] / reports for name in _MEANS if name in sums}
        return {"bleu": sum(bleu.values()) / len(bleu), **bleu, **means, "report_count": reports}

    def cautions(self, before: Mapping[str, float], after: Mapping[str, float] | None) -> list[str]:
        """Say which METEOR it is."""
        return [describe_meteor(self._meteor_name, self.wordnet)] if self._meteor_name in before else []

    def _text_scorers(self) -> list[TextScorer]:
        scorers = [_ngram_scorer(), _rouge_scorer()]
        scorers += [score_report] if self.legacy else []
        return scorers + ([meteor_scorer(self._meteor_name, self.wordnet)] if self._meteor_name else [])


TextScorer = Callable[[str, str], dict[str, float]]  # truth and answer to statistics
_MEANS = ("rouge_l", *LEGACY, FULL, STEMS)  # of the reports' own values


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
