"""The measures of question answering: whole words, unparsed answers, recall as LLaVA-Med has it, resampling."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from conftest import ROOT
from mmedpo_plugins.metrics.med_vqa.llava_med import script_words
from mmedpo_plugins.metrics.med_vqa.med_vqa import MedVqaMetric, token_f1, token_recall, yes_or_no
from mmedpo_plugins.radiology.answer_words import answer_words

from mmedpo import Case, ImageRef

SHARED = ROOT.parent / "shared" / "data"


def closed(truth: str, question: str = "Is there a nodule?") -> Case:
    return Case("c", ImageRef(), question, truth, kind="closed")


def opened(truth: str) -> Case:
    return Case("o", ImageRef(), "Where is it?", truth)


def measures(cases: Sequence[Case], answers: Sequence[str], legacy: bool = False) -> dict[str, float]:
    metric = MedVqaMetric(legacy=legacy)
    return metric.combine(metric.measure(cases, answers))


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("No", "no"),
        ("Yes, there is no effusion.", "yes"),
        ("The lungs are normal, nothing abnormal noted.", None),
        ("I do not know", None),
        ("Answer:\n**No**.", "no"),
        ("There is no nodule", "no"),
        ("Ｙｅｓ！", "yes"),
        ("__No__", "no"),
        ("", None),
    ],
)
def test_the_first_whole_word_yes_or_no_is_the_answer(answer: str, said: str | None) -> None:
    assert yes_or_no(answer) == said


def test_closed_answers_are_right_wrong_or_unparsed() -> None:
    cases = [closed("Yes"), closed("no"), closed("No."), closed("yes")]
    assert measures(cases, ["Yes, left.", "Abnormal", "no", "No"]) == {
        "closed_accuracy": 0.5,
        "closed_balanced_accuracy": 0.5,
        "closed_sensitivity": 0.5,
        "closed_specificity": 0.5,
        "closed_unparsed": 0.25,
        "closed_yes": 0.25,
        "closed_yes_true": 0.5,
        "closed_count": 4,
    }


@pytest.mark.parametrize(
    ("truth", "answer", "right"),
    [
        ("Left", "It is on the left side.", True),
        ("left", "It may be left or right.", False),
        ("left", "Right", False),
        ("left", "leftward", False),
    ],
)
def test_a_closed_question_between_alternatives_wants_the_true_one_alone(truth: str, answer: str, right: bool) -> None:
    question = "Is the nodule in the left or the right lung?"
    assert measures([closed(truth, question)], [answer])["closed_accuracy"] == right
    assert measures([closed(truth, question)], [answer])["closed_unparsed"] == 0


def test_words_are_lower_case_without_articles_and_punctuation_and_with_digits() -> None:
    words = answer_words("The X-ray, (AP) shows two 3.5 cm nodules.")
    assert words == ["x", "ray", "ap", "shows", "2", "3.5", "cm", "nodules"]


def test_open_recall_is_that_of_llava_med() -> None:
    assert token_recall("the left lung", "Left upper lung") == pytest.approx(2 / 3)
    assert token_recall("lung lung lung", "left lung") == pytest.approx(3 / 4)  # repeats count as hits
    assert token_recall("right", "left lung") == token_recall("", "left") == token_recall("left", "") == 0


def test_open_f1_counts_each_word_once() -> None:
    assert token_f1("left lung", "left lung") == 1
    assert token_f1("lung lung lung", "left lung") == pytest.approx(2 * 1 / 5)
    assert token_f1("on the left side", "left") == pytest.approx(2 * (1 / 3) / (1 / 3 + 1))
    assert token_f1("", "left") == 0


def test_an_open_answer_is_exact_when_it_is_the_truth_and_nothing_else() -> None:
    cases = [opened("Left upper lobe")] * 4
    answers = ["the left upper lobe.", "Left upper", "It is the left upper lobe", "upper left lobe"]
    assert measures(cases, answers)["open_exact"] == 0.25


def test_a_wrong_yes_or_no_is_wrong_in_llava_meds_script_and_was_not_counted_in_2023() -> None:
    cases = [closed("yes"), closed("yes"), closed("no"), closed("yes"), closed("MRI")]
    answers = ["Yes, there is.", "No.", "The lungs look normal.", "It is there.", "MRI"]
    found = measures(cases, answers, legacy=True)
    assert found["closed_accuracy_llava_med"] == 2 / 5  # yes and normal; MRI says neither yes nor no
    assert found["closed_accuracy_llava_med_2023"] == 2 / 4
    assert found["closed_accuracy_legacy"] == 3 / 5
    assert found["closed_accuracy"] == 2 / 5
    wrong = measures([closed("yes")], ["no"], legacy=True)
    assert wrong["closed_accuracy_llava_med"] == 0
    assert "closed_accuracy_llava_med_2023" not in wrong


def test_llava_meds_script_deletes_a_mark_everywhere_once_it_stands_beside_a_space() -> None:
    assert script_words("The x-ray, left.") == ["x", "ray", "left"]
    assert script_words("x-ray - left") == ["xray", "left"]
    assert script_words("about 1,000 x-rays") == ["about", "1000", "xrays"]
    assert script_words("Two of 3.5 cm") == ["2", "of", "3.5", "cm"]
    found = measures([opened("x-ray")], ["x-ray - chest"], legacy=True)
    assert (found["open_recall"], found["open_recall_llava_med"]) == (1, 0)


def test_llava_meds_script_gives_a_contraction_one_apostrophe_back() -> None:
    assert script_words("It doesnt, hadn'tve, twas") == ["it", "doesn't", "hadn't've", "'twas"]
    assert script_words("hadntve shed") == ["hadntve", "shed"]


def test_a_kind_without_cases_has_no_measure() -> None:
    assert set(measures([opened("left")], ["left"])) == {"open_recall", "open_f1", "open_exact", "open_count"}
    report = Case("r", ImageRef(), "Describe", "No nodule.", kind="report")
    assert measures([report], ["No nodule."]) == {}
    assert MedVqaMetric().combine([]) == {}


def test_a_measure_of_nothing_right_is_zero_not_absent() -> None:
    assert measures([closed("yes")], ["no"])["closed_accuracy"] == 0


def test_combining_a_resample_is_measuring_the_resampled_cases() -> None:
    cases = [closed("yes"), closed("no"), opened("left lung"), opened("heart")]
    answers = ["yes", "maybe", "left", "the heart"]
    statistics = MedVqaMetric().measure(cases, answers)
    picks = [random.Random(0).randrange(4) for _ in range(50)]
    resampled = MedVqaMetric().combine([statistics[at] for at in picks])
    assert resampled == pytest.approx(measures([cases[at] for at in picks], [answers[at] for at in picks]))


@pytest.mark.parametrize(
    ("name", "legacy", "strict", "script"),
    [
        ("slake/slake_dpo_weighted.json", 117 / 739, 20 / 739, (0.080842, 0.983471, 0.187250)),
        ("vqa_rad/vqa-rad_dpo_weighted.json", 85 / 463, 1 / 463, (0.094923, 0.886598, 0.211631)),
    ],
)
def test_on_released_rejected_answers_substrings_lie_and_the_forms_of_a_script_are_what_it_says(
    name: str, legacy: float, strict: float, script: tuple[float, ...]
) -> None:
    if not (SHARED / name).exists():
        pytest.skip(f"{SHARED / name} is not here")
    entries = json.loads((SHARED / name).read_text())
    truths, wrong = (
        [entry[side][1]["value"].strip() for entry in entries] for side in ("conversations", "rejected_conversations")
    )
    cases = [closed(truth) if answer_words(truth) in (["yes"], ["no"]) else opened(truth) for truth in truths]
    denied = [at for at, truth in enumerate(truths) if truth.lower() == "no"]
    result = measures([cases[at] for at in denied], [wrong[at] for at in denied], legacy=True)
    assert result["closed_accuracy_legacy"] == pytest.approx(legacy)
    assert result["closed_accuracy"] == pytest.approx(strict)
    assert script_forms(measures(cases, wrong, legacy=True)) == pytest.approx(script, abs=1e-6)  # what the script said


def script_forms(found: dict[str, float]) -> tuple[float, ...]:
    names = ("closed_accuracy_llava_med", "closed_accuracy_llava_med_2023", "open_recall_llava_med")
    return tuple(found[name] for name in names)


def asked(*truths: str) -> list[Case]:
    return [closed(truth) for truth in truths]


def test_who_always_says_the_same_has_a_balanced_accuracy_of_a_half() -> None:
    found = measures(asked("yes", "no", "no", "no"), ["No."] * 4)
    assert found["closed_accuracy"] == 0.75
    assert (found["closed_sensitivity"], found["closed_specificity"]) == (0, 1)
    assert found["closed_balanced_accuracy"] == 0.5
    assert (found["closed_yes"], found["closed_yes_true"]) == (0, 0.25)


def test_an_answer_that_is_neither_counts_against_the_side_that_was_asked() -> None:
    found = measures(asked("yes", "yes", "no"), ["Yes", "Perhaps", "Perhaps"])
    assert (found["closed_sensitivity"], found["closed_specificity"]) == (0.5, 0)


def test_where_only_yes_is_true_there_is_no_specificity_and_no_balance() -> None:
    found = measures([*asked("yes", "yes"), closed("MRI", "CT or MRI?")], ["Yes", "No", "MRI"])
    assert found["closed_sensitivity"] == 0.5
    assert not {"closed_specificity", "closed_balanced_accuracy"} & set(found)


def said(share_of_yes: float, truths: Sequence[str], right: float = 0.0) -> list[str]:
    """Answer yes so often whatever is asked, or truly for a share of the questions."""
    chosen = random.Random(0)
    return [truth if chosen.random() < right else "yes" if chosen.random() < share_of_yes else "no" for truth in truths]


SICK_OR_NOT = ["yes"] * 50 + ["no"] * 150
BALANCED = ["yes"] * 100 + ["no"] * 100


def told(truths: Sequence[str], before: Sequence[str], after: Sequence[str]) -> str:
    one, other = (measures(asked(*truths), answers) for answers in (before, after))
    return " / ".join(MedVqaMetric().cautions(one, other))


def test_a_model_that_collapsed_to_no_is_no_better_and_that_is_said() -> None:
    before, after = said(0.65, SICK_OR_NOT, 0.05), said(0.05, SICK_OR_NOT)
    one, other = (measures(asked(*SICK_OR_NOT), answers) for answers in (before, after))
    assert other["closed_accuracy"] - one["closed_accuracy"] > 0.2
    said_of_it = told(SICK_OR_NOT, before, after)
    assert "the answers to closed questions say yes, before 57%" in said_of_it
    assert "the clinicians' 25%" in said_of_it
    assert "balanced accuracy by" in said_of_it
    assert "owes much to one answer being the more frequent" in said_of_it


def test_a_model_that_unlearned_to_answer_is_told_of() -> None:
    after = [answer if place % 3 else "the film" for place, answer in enumerate(BALANCED)]
    said_of_it = told(BALANCED, said(0.5, BALANCED, 0.5), after)
    assert "say neither yes nor no after training, 0% before" in said_of_it
    assert "the loss `nll`" in said_of_it


def test_a_model_that_got_better_on_both_sides_needs_no_caution() -> None:
    assert told(BALANCED, said(0.7, BALANCED, 0.4), said(0.5, BALANCED, 0.95)) == ""
    assert told(BALANCED, said(0.7, BALANCED, 0.4), said(0.7, BALANCED, 0.4)) == ""
    assert MedVqaMetric().cautions(measures(asked(*BALANCED), BALANCED), None) == []
    assert MedVqaMetric().cautions({}, {}) == []
    assert MedVqaMetric().cautions({"open_recall": 1.0}, {"open_recall": 0.5}) == []


def test_made_up_rows_count_as_the_page_defines_them(shared: Path) -> None:
    rows: dict[str, list[list[str]]] = {}
    exec((shared / "cases/paper/metric_rows.py").read_text(), None, rows)
    cases = [Case("c", ImageRef(), question, truth, kind=kind) for kind, question, truth, _ in rows["ROWS"]]  # type: ignore[arg-type]
    metric = MedVqaMetric(legacy=True)
    found = metric.measure(cases, [answer for *_, answer in rows["ROWS"]])
    judged = {tuple(row[1:]): counts for row, counts in zip(rows["ROWS"], found, strict=True)}
    assert script_forms(metric.combine(found)) == pytest.approx((8 / 15, 8 / 13, 0.696667), abs=1e-6)  # as the script
    assert judged["Is this CT or MRI?", "MRI", "MRI"]["closed_accuracy_llava_med"] == 0
    assert judged["Is this CT or MRI?", "MRI", "This is an MRI, not a CT."]["closed_accuracy_llava_med"] == 1
    assert judged["Finding?", "doesn't apply", "doesnt apply"]["open_recall_llava_med"] == 1
    assert judged["Is there a mass?", "No", "The lungs are normal."]["closed_unparsed"] == 1
    assert judged["Is there a mass?", "No", "There is none."]["closed_unparsed"] == 1
    assert judged["Is it normal?", "No", "Yes and no"]["closed_accuracy"] == 0
    assert judged["Is there a fracture?", "No", "no evidence of fracture"]["closed_accuracy"] == 1
    assert judged["Is this CT or MRI?", "MRI", "This is an MRI, not a CT."]["closed_accuracy"] == 0
    assert judged["Which side, left or right?", "Left", "On the left."]["closed_accuracy"] == 1
    assert judged["Finding?", "pleural effusion", "effusion effusion effusion"]["open_f1"] == pytest.approx(0.4)
    assert judged["Where?", "a b the", "the"]["open_recall"] == 0
