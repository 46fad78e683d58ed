"""BLEU and ROUGE-L as means over reports, in the forms of nltk and of coco-caption."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

ORDERS = range(1, 5)
BETA = 1.2  # of coco-caption: by so much recall counts more than precision
LEGACY = ("bleu_legacy", *(f"bleu_{order}_legacy" for order in ORDERS), "rouge_l_legacy")


def score_report(truth: str, answer: str) -> dict[str, float]:
    """Return the measures of one report; words are lower case, between spaces, with the marks that stand on them."""
    wanted, said = truth.lower().split(), answer.lower().split()
    bleu = sentence_bleu(wanted, said)
    values = (sum(bleu) / len(bleu), *bleu, rouge_l(wanted, said))
    return dict(zip(LEGACY, values, strict=True))


def sentence_bleu(wanted: Sequence[str], said: Sequence[str]) -> list[float]:
    """Return BLEU-1 to BLEU-4 of one report by nltk: equal weights up to the order, no smoothing."""
    from nltk.translate import bleu_score

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that an order without a hit makes BLEU 0: it is meant
        scores = bleu_score.sentence_bleu([wanted], said, weights=[(1 / order,) * order for order in ORDERS])
    return [float(score) for score in scores]


def rouge_l(wanted: Sequence[str], said: Sequence[str]) -> float:
    """Return the F-measure of the longest common subsequence with coco-caption's beta."""
    common = longest_common(wanted, said)
    if not common:
        return 0.0
    precision, recall = common / len(said), common / len(wanted)
    return (1 + BETA**2) * precision * recall / (recall + BETA**2 * precision)


def longest_common(one: Sequence[str], other: Sequence[str]) -> int:
    """Return the length of the longest common subsequence."""
    row = [0] * (len(other) + 1)
    for word in one:
        above = row
        row = [0]
        for at, against in enumerate(other):
            row.append(above[at] + 1 if word == against else max(above[at + 1], row[at]))
    return row[-1]
