"""The words of reports: corpus BLEU from summed counts, ROUGE-L, METEOR with and without synonyms; radeval."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from mmedpo_plugins.metrics.radeval_scores import RadEvalMetric
from mmedpo_plugins.metrics.report_text import ReportTextMetric
from pydantic import ValidationError

from mmedpo import Case, DataError, ImageRef

TRUTHS = ["There is a small left pleural effusion.", "The lungs are clear.", "There is severe cardiomegaly."]
ANSWERS = ["There is a large left pleural effusion.", "The lungs are clear. No effusion.", "The heart is enlarged."]


def reports(truths: Sequence[str]) -> list[Case]:
    return [Case(f"{n}", ImageRef(), "Describe the image.", truth, kind="report") for n, truth in enumerate(truths)]


def measures(truths: Sequence[str], answers: Sequence[str], **options: Any) -> dict[str, float]:
    metric = ReportTextMetric(**options)
    return metric.combine(metric.measure(reports(truths), answers))


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_bleu_of_summed_counts_is_the_corpus_bleu_of_sacrebleu(order: int) -> None:
    from sacrebleu.metrics import BLEU

    whole = BLEU(lowercase=True, smooth_method="none", max_ngram_order=order).corpus_score(ANSWERS, [TRUTHS])
    assert measures(TRUTHS, ANSWERS)[f"bleu_{order}"] == pytest.approx(whole.score / 100)
    short = measures(TRUTHS, ["Effusion left."] * 3)  # shorter than the truth
    whole = BLEU(lowercase=True, smooth_method="none", max_ngram_order=order).corpus_score(
        ["Effusion left."] * 3, [TRUTHS]
    )
    assert short[f"bleu_{order}"] == pytest.approx(whole.score / 100)


def test_corpus_bleu_is_no_mean_of_reports_and_bleu_is_the_mean_of_four_orders() -> None:
    found = measures(TRUTHS, ANSWERS)
    apart = [measures([truth], [answer])["bleu_4"] for truth, answer in zip(TRUTHS, ANSWERS, strict=True)]
    assert found["bleu_4"] != pytest.approx(sum(apart) / 3)
    assert found["bleu"] == pytest.approx(sum(found[f"bleu_{order}"] for order in (1, 2, 3, 4)) / 4)


def test_a_perfect_report_has_all_of_everything_and_an_empty_one_nothing() -> None:
    perfect, empty = measures(TRUTHS, TRUTHS), measures(TRUTHS, [""] * 3)
    for name in ("bleu", "bleu_1", "bleu_4", "rouge_l"):
        assert (perfect[name], empty[name]) == (pytest.approx(1), 0)
    assert measures(TRUTHS, TRUTHS, meteor="stems")["meteor_stems"] > 0.95


def test_other_kinds_have_no_measure() -> None:
    assert ReportTextMetric().measure([Case("c", ImageRef(), "?", "yes", kind="closed")], ["yes"]) == [{}]
    assert ReportTextMetric().combine([{}]) == {}


def test_meteor_without_synonyms_has_a_name_of_its_own_and_knows_stems() -> None:
    found = measures(["The opacity is seen."], ["The opacities were seen."], meteor="stems")
    assert "meteor" not in found
    assert found["meteor_stems"] > 0.5


def test_meteor_proper_is_refused_in_the_recipe_where_wordnet_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmedpo_plugins.metrics.report_text._wordnet", lambda: False)
    with pytest.raises(ValidationError, match=r"python -m nltk\.downloader wordnet"):
        ReportTextMetric(meteor="wordnet")


# ---------------------------------------------------------------- radeval, which is not installed for the tests


@pytest.fixture
def radeval(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module with the interface of radeval 2.2, that scores by length."""

    class RadEval:
        def __init__(self, metrics: list[str], per_sample: bool, show_progress: bool) -> None:
            if "green" in metrics:
                raise OSError("\nWe couldn't connect to the hub")
            assert per_sample
            self.metrics = metrics

        def __call__(self, refs: list[str], hyps: list[str]) -> dict[str, list[float]]:
            return {
                name: [float(len(one) == len(other)) for one, other in zip(refs, hyps, strict=True)]
                for name in self.metrics
            }

    module = ModuleType("radeval")
    module.RadEval = RadEval  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "radeval", module)
    monkeypatch.setattr("mmedpo_plugins.metrics.radeval_scores.find_spec", lambda name: module)
    return module


def test_radevals_scores_are_averaged_over_reports(radeval: ModuleType) -> None:
    metric = RadEvalMetric(scores=("radgraph",))
    cases = [Case("c", ImageRef(), "?", "yes", kind="closed"), *reports(["one", "two"])]
    rows = metric.measure(cases, ["yes", "six", "three"])
    assert rows[0] == {}
    assert metric.combine(rows) == {"radgraph": 0.5, "report_count": 2}
    assert metric.measure(cases[:1], ["yes"]) == [{}]
    assert metric.combine([{}]) == {}


def test_missing_weights_are_a_mistake_that_says_what_to_do(radeval: ModuleType) -> None:
    with pytest.raises(DataError, match="cannot load green: We couldn't connect to the hub; fetch the weights"):
        RadEvalMetric(scores=("green",)).measure(reports(["one"]), ["one"])


def test_without_radeval_the_recipe_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmedpo_plugins.metrics.radeval_scores.find_spec", lambda name: None)
    with pytest.raises(ValidationError, match="needs the package radeval"):
        RadEvalMetric()
    with pytest.raises(ValidationError, match="needs the package radeval"):
        RadEvalMetric(scores=("bleu",))
