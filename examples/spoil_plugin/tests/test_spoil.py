from collections import Counter
from random import Random

import pytest
from mmedpo_spoil.answers import SpoiledAnswers
from mmedpo_spoil.known_worth import KnownWorth
from mmedpo_spoil.regions import SpoiledRegions
from mmedpo_spoil.wordings import same_answer, wrong_answer

from mmedpo import Case, ImageRef, Pair, Region, Setting
from mmedpo.testing import check_part, tiny_cases

FINDINGS = [{"label": "nodule", "side": "left", "place": "upper", "size": "small"}]
TRUTH = "There is a small left upper lobe nodule. The heart is normal in size."


def phantom_case(kind: str, question: str, answer: str, number: int = 0) -> Case:
    image: ImageRef = tiny_cases(1)[0].image
    about = () if kind == "report" else ("nodule",)
    return Case(f"c{number}", image, question, answer, kind, about=about, notes={"findings": FINDINGS})  # type: ignore[arg-type]


def spoil(cases: list[Case], **options: object) -> list[Pair]:
    with SpoiledAnswers(**options).open(Setting(seed=3)) as live:  # type: ignore[arg-type]
        return [one for one in live.disprefer(cases, None, [[] for _ in cases]) if isinstance(one, Pair)]


def test_all_keep_their_contracts() -> None:
    for part in (SpoiledAnswers(), SpoiledRegions(), KnownWorth(error=0.2)):
        check_part(part)


def test_a_share_is_spoiled_and_stays_so_at_a_greater_one() -> None:
    cases = [phantom_case("closed", "Is there a nodule?", "Yes", number) for number in range(400)]
    few, many = ({pair.case.id for pair in spoil(cases, share=share) if pair.notes["fault"]} for share in (0.1, 0.5))
    assert few < many
    assert 20 <= len(few) <= 60
    assert 160 <= len(many) <= 240


@pytest.mark.parametrize(
    ("fault", "chosen", "rejected"),
    [("right", "No", "Yes"), ("same", "Yes", "Yes, there is a nodule."), ("other", "Yes", "There is no ")],
)
def test_each_fault_is_what_it_says(fault: str, chosen: str, rejected: str) -> None:
    [pair] = spoil([phantom_case("closed", "Is there a nodule?", "Yes")], share=1, faults=(fault,))
    assert pair.chosen.answer == chosen
    assert pair.rejected.answer.startswith(rejected)


def test_a_wrong_report_has_one_error() -> None:
    case = phantom_case("report", "Describe the image.", TRUTH)
    drawn = Counter(wrong_answer(case, Random(number)) for number in range(200))
    assert TRUTH not in drawn
    assert "The lungs are clear. The heart is normal in size." in drawn
    assert "There is a small right upper lobe nodule. The heart is normal in size." in drawn


def test_the_same_is_said_in_other_words() -> None:
    place = phantom_case("open", "In which lobe is the nodule?", "Left upper lobe")
    assert same_answer(place, Random(0)) == "The nodule is in the left upper lobe."
    side = phantom_case("open", "Which side is the nodule on?", "Left")
    assert same_answer(side, Random(0)) == "The nodule is on the left."


def test_a_scorer_errs_as_often_as_it_is_told_to() -> None:
    pairs = spoil([phantom_case("closed", "Is there a nodule?", "Yes", number) for number in range(400)], share=0.5)
    with KnownWorth(error=0.25).open(Setting(seed=1)) as live:
        wrong = sum(
            (one.relevance == 0.1) == (pair.notes["fault"] is None)
            for pair, one in zip(pairs, live.score(pairs), strict=True)
        )
    assert 80 <= wrong <= 120


def test_a_spoiled_region_lies_on_the_other_half_or_leaves_the_lesion_bare() -> None:
    case = tiny_cases(1)[0]
    width = case.image.load().width
    for fault, box in (("beside", (width - 12, 4, width - 8, 12)), ("bare", (8, 4, 9, 6))):
        own = Case("c", case.image, "Is there a nodule?", "Yes", "closed", regions=(Region("nodule", (8, 4, 12, 12)),))
        with SpoiledRegions(share=1, faults=(fault,)).open(Setting()) as live:  # type: ignore[arg-type]
            assert [(one.box, one.confidence) for one in live.localize([own], None)[0]] == [(box, 0.1)]
