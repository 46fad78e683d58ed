"""The words of reports: corpus BLEU from summed counts, ROUGE-L, METEOR with and without synonyms; radeval."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from mmedpo_plugins.metrics.radeval_scores import RadEvalMetric
from mmedpo_plugins.metrics.report_text import meteor
from mmedpo_plugins.metrics.report_text.report_text import ReportTextMetric
from pydantic import ValidationError
from tiny_wordnet import write_wordnet

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
    assert measures(TRUTHS, TRUTHS, meteor="stems")["meteor_nltk_stems"] > 0.95


def test_other_kinds_have_no_measure() -> None:
    assert ReportTextMetric().measure([Case("c", ImageRef(), "?", "yes", kind="closed")], ["yes"]) == [{}]
    assert ReportTextMetric().combine([{}]) == {}


def test_legacy_bleu_is_the_mean_of_reports_between_spaces_and_unsmoothed() -> None:
    found = measures(["The lungs are clear.", "No effusion."], ["the lungs are Clear.", "effusion."], legacy=True)
    short = math.exp(1 - 2)  # one word, where the truth has two
    assert found["bleu_1_legacy"] == pytest.approx((1 + short) / 2)
    assert found["bleu_2_legacy"] == pytest.approx(1 / 2)  # no pair is right in the second
    assert found["bleu_4_legacy"] == pytest.approx(1 / 2)
    assert found["bleu_legacy"] == pytest.approx(((1 + short) / 2 + 3 / 2) / 4)
    apart = measures(["The lungs are clear."], ["The lungs are well clear."], legacy=True)
    assert apart["bleu_2_legacy"] == pytest.approx(math.sqrt(4 / 5 * 2 / 4))
    assert measures(["Clear."], [""], legacy=True)["bleu_1_legacy"] == 0


def test_legacy_rouge_l_counts_recall_more_than_precision() -> None:
    found = measures(["The lungs are clear."], ["The lungs are well clear."], legacy=True)
    assert found["rouge_l_legacy"] == pytest.approx(2.44 * 0.8 * 1 / (1 + 1.44 * 0.8))
    assert measures(["a b c d"], ["b a d"], legacy=True)["rouge_l_legacy"] == pytest.approx(
        2.44 * (2 / 3) * (2 / 4) / (2 / 4 + 1.44 * (2 / 3))
    )
    assert measures(["Clear."], [""], legacy=True)["rouge_l_legacy"] == 0
    assert "rouge_l_legacy" not in measures(["Clear."], ["Clear."])


def test_made_up_reports_differ_by_definition_as_the_page_says(shared: Path) -> None:
    rows: dict[str, list[tuple[str, str]]] = {}
    exec((shared / "cases/paper/report_rows.py").read_text(), rows)  # type: ignore[arg-type]
    truths, answers = zip(*rows["ROWS"], strict=True)
    found = measures(truths, answers, legacy=True, meteor="stems")
    wanted = {"bleu": 0.532, "bleu_legacy": 0.354, "rouge_l": 0.558, "rouge_l_legacy": 0.553}  # of the tools themselves
    assert {name: round(found[name], 3) for name in wanted} == wanted
    assert found["meteor_nltk_stems"] == pytest.approx(0.529, abs=5e-4)


def test_meteor_without_synonyms_has_a_name_of_its_own_and_knows_stems() -> None:
    found = measures(["The opacity is seen."], ["The opacities were seen."], meteor="stems")
    assert "meteor_nltk" not in found
    assert found["meteor_nltk_stems"] > 0.5
    (told,) = ReportTextMetric(meteor="stems").cautions(found, None)
    assert told.startswith(f"meteor_nltk_stems is METEOR as nltk {version('nltk')} has it, with stems and no synonyms")
    assert ReportTextMetric().cautions(measures(TRUTHS, ANSWERS), None) == []


def test_meteor_takes_synonyms_from_a_folder_without_the_names_of_fields(tmp_path: Path) -> None:
    write_wordnet(tmp_path)
    found = measures(["A node is seen."], ["A lump is seen."], meteor="wordnet", wordnet=tmp_path)
    assert (
        found["meteor_nltk"] == measures(["A node is seen."], ["A node is seen."], meteor="stems")["meteor_nltk_stems"]
    )
    assert (
        found["meteor_nltk"] > measures(["A node is seen."], ["A lump is seen."], meteor="stems")["meteor_nltk_stems"]
    )
    (told,) = ReportTextMetric(meteor="wordnet", wordnet=tmp_path).cautions(found, None)
    assert "with WordNet 3.0" in told


def test_meteor_proper_says_before_a_run_where_wordnet_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (told,) = ReportTextMetric(meteor="wordnet", wordnet=tmp_path).lacking()
    assert "is no folder of WordNet's: it lacks index.noun, data.noun" in told
    with pytest.raises(ValidationError, match="is for meteor: wordnet, which is not asked for"):
        ReportTextMetric(wordnet=tmp_path)

    def not_here(folder: Path | None) -> None:
        raise LookupError("no corpora/wordnet")

    monkeypatch.setattr(meteor, "load_wordnet", not_here)
    (told,) = ReportTextMetric(meteor="wordnet").lacking()
    assert "python -m nltk.downloader wordnet" in told
    assert list(ReportTextMetric(meteor="stems").lacking()) == []


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
