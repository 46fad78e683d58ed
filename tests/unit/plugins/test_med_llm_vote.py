"""The scorer of text pairs: its consensus arithmetic, its embedded voter, and what that voter reads."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from mmedpo_plugins.radiology.answer_difference import compare_answers
from mmedpo_plugins.radiology.lexicon import BOTH, findings
from mmedpo_plugins.radiology.mentions import read_answer, read_mentions, yes_or_no
from mmedpo_plugins.radiology.traits import FindingMention
from mmedpo_plugins.scorers.med_llm_vote.agreement import agreement
from mmedpo_plugins.scorers.med_llm_vote.consensus import (
    Vote,
    combine_votes,
    has_agreement,
    last_vote,
    order_of,
    settle_debate,
)
from mmedpo_plugins.scorers.med_llm_vote.med_llm_vote import MedLlmVoteScorer, VoterPanel
from mmedpo_plugins.scorers.med_llm_vote.rules_voter import RulesVoter
from pydantic import ValidationError
from radlabels_triples import Triple, installed, labels, triples

from mmedpo import Case, ImageRef, Pair, Score, Setting, Side

LEFT, RIGHT = frozenset({"left"}), frozenset({"right"})
UPPER, LOWER = frozenset({"upper"}), frozenset({"lower"})


# ---------------------------------------------------------------- the consensus


def votes(*scores: int | None) -> list[Vote]:
    return [Vote(str(at), score) for at, score in enumerate(scores)]


@pytest.mark.parametrize(
    ("scores", "voters", "agree"),
    [
        ((8,), 1, True),
        ((8, 8, 8), 3, True),
        ((8, 8), 3, False),  # the third has not spoken
        ((8, 6, 6), 3, False),
        ((8, 6, 6, 6), 3, True),  # the first came round in the second round
        ((8, 6, 8, 6), 2, False),
        ((8, None, 8), 3, True),  # who does not vote does not stand in the way
        ((None, None), 2, True),
    ],
)
def test_voters_agree_when_the_last_votes_of_all_are_one(scores: tuple[int | None], voters: int, agree: bool) -> None:
    assert has_agreement(votes(*scores), voters) == agree


def test_the_verdict_is_the_score_agreed_on_else_the_mean_of_all_that_was_said() -> None:
    assert settle_debate(votes(8, 6, 6, 6), 3) == 0.6
    assert settle_debate(votes(8, 6, 8, 6), 2) == pytest.approx(0.7)
    assert settle_debate(votes(10, None, 4), 3) == pytest.approx(0.7)
    assert settle_debate(votes(None, None), 2) is None


def test_the_next_voter_sees_the_newest_vote_there_is() -> None:
    assert last_vote([]) is None
    assert last_vote(votes(8, 6, None)) == Vote("1", 6)


@dataclass
class Scripted:
    """A voter that says what it is told to, and notes what it saw."""

    name: str
    scores: list[int | None]
    saw: list[int | None] = field(default_factory=list)

    def vote(self, pairs: Sequence[Pair], seen: Sequence[Vote | None]) -> list[Vote]:
        self.saw += [None if vote is None else vote.score for vote in seen]
        return [Vote(self.name, self.scores[len(self.saw) - len(pairs) + at]) for at in range(len(pairs))]


def panel(*voters: Scripted, **options: Any) -> VoterPanel:
    rules = tuple(RulesVoter(name=voter.name) for voter in voters)
    return VoterPanel(MedLlmVoteScorer(**{"voters": rules, "order": "fixed", **options}), voters)


def text_pair(question: str, chosen: str, rejected: str) -> Pair:
    case = Case("c", ImageRef(sha256="p"), question, chosen)
    return Pair(case, Side(case.image, chosen), Side(case.image, rejected), "text")


NODULE = text_pair("Is there a nodule?", "Yes", "No")


def test_a_debate_ends_when_all_agree() -> None:
    first, second = Scripted("a", [8, 5]), Scripted("b", [5])
    (score,) = panel(first, second).score([NODULE])
    assert score.relevance == 0.5
    assert (first.saw, second.saw) == ([None, 5], [8])
    assert [vote["score"] for vote in score.evidence["votes"]] == [8, 5, 5]
    assert (score.evidence["rounds"], score.evidence["agreed"]) == (2, True)


def test_a_debate_without_agreement_ends_at_the_round_limit_with_the_mean() -> None:
    (score,) = panel(Scripted("a", [8, 8]), Scripted("b", [5, 6]), rounds=2).score([NODULE])
    assert score.relevance == pytest.approx((8 + 5 + 8 + 6) / 40)
    assert (score.evidence["rounds"], score.evidence["agreed"]) == (2, False)


def test_pairs_that_are_settled_are_not_asked_about_again() -> None:
    first, second = Scripted("a", [8, 3, 4]), Scripted("b", [8, 4])
    scores = panel(first, second).score([NODULE, NODULE])
    assert [score.relevance for score in scores] == [0.8, 0.4]
    assert first.saw == [None, None, 4]


def test_independent_voters_see_nothing_and_speak_once() -> None:
    voters = [Scripted(name, [score]) for name, score in zip("abcde", (0, 5, 6, 7, 10), strict=True)]
    (score,) = panel(*voters, protocol="independent", combine="median").score([NODULE])
    assert score.relevance == 0.6
    assert all(voter.saw == [None] for voter in voters)


def test_independent_votes_are_combined_as_asked() -> None:
    cast = [Vote(name, score) for name, score in zip("abcde", (0, 5, 6, 8, 10), strict=True)]
    assert combine_votes(cast, "mean") == pytest.approx(0.58)
    assert combine_votes(cast, "trimmed-mean") == pytest.approx(19 / 30)
    assert combine_votes([Vote("a", None)], "median") is None


def test_fewer_voters_than_the_quorum_give_no_rating_and_say_so() -> None:
    missing = Scripted("b", [None] * 5)
    (score,) = panel(Scripted("a", [8] * 5), missing, quorum=2).score([NODULE])
    assert score.relevance is None
    assert score.evidence["why"] == "1 voters voted, the quorum is 2"
    assert [vote["score"] for vote in score.evidence["votes"]] == [8, None]


def test_the_order_is_drawn_for_each_pair_by_seed_alone() -> None:
    orders = {tuple(order_of(3, seed)) for seed in range(50)}
    assert len(orders) == 6
    assert order_of(3, 7) == order_of(3, 7)
    assert order_of(3, None) == [0, 1, 2]


def test_voters_who_speak_in_another_order_are_each_asked_for_all_their_pairs_at_once() -> None:
    pairs = [replace(NODULE, number=number) for number in range(12)]
    first, second = Scripted("a", [5] * 12), Scripted("b", [5] * 12)
    scores = panel(first, second, order="shuffled").score(pairs)
    speakers = [score.evidence["votes"][0]["voter"] for score in scores]
    assert {"a", "b"} == set(speakers)
    assert first.saw.count(None) == speakers.count("a")
    assert all(score.relevance == 0.5 for score in scores)


@given(st.lists(st.lists(st.none() | st.integers(0, 10), min_size=15, max_size=15), min_size=1, max_size=4))
def test_whatever_voters_say_the_relevance_lies_within_what_was_said(said: list[list[int | None]]) -> None:
    voters = [Scripted(f"v{number}", scores) for number, scores in enumerate(said)]
    (score,) = panel(*voters, rounds=5).score([NODULE])
    cast = [vote["score"] for vote in score.evidence["votes"] if vote["score"] is not None]
    assert len(score.evidence["votes"]) <= 5 * len(voters)
    if score.relevance is None:
        assert cast == []
    else:
        assert min(cast) / 10 <= score.relevance <= max(cast) / 10 + 1e-9


def test_voters_of_one_name_and_a_quorum_beyond_them_are_refused() -> None:
    with pytest.raises(ValidationError, match="two voters have one name"):
        MedLlmVoteScorer(voters=(RulesVoter(), RulesVoter()))
    with pytest.raises(ValidationError, match="quorum is 2"):
        MedLlmVoteScorer(quorum=2)


# ---------------------------------------------------------------- agreement


def cast(*scores: int | None) -> Score:
    given_ = [{"voter": name, "score": score, "reason": "why"} for name, score in zip("abcd", scores, strict=False)]
    return Score(0.5, {"votes": given_, "agreed": len(set(scores)) == 1})


def agreed_on(voters: str, *scores: Score) -> dict[str, Any]:
    return agreement(voters, [replace(NODULE, number=at) for at in range(len(scores))], scores)


def test_alpha_is_that_of_krippendorffs_published_example() -> None:
    # Krippendorff, Computing Krippendorff's Alpha-Reliability (2011), section E: interval alpha is .849, ordinal .815.
    units = [
        (1, 1, None, 1), (2, 2, 3, 2), (3, 3, 3, 3), (3, 3, 3, 3), (2, 2, 2, 2), (1, 2, 3, 4), (4, 4, 4, 4),
        (1, 1, 2, 1), (2, 2, 2, 2), (None, 5, 5, 5), (None, None, 1, 1), (None, None, 3, None),
    ]  # fmt: skip
    found = agreed_on("abcd", *[cast(*unit) for unit in units])
    assert found["alpha"]["first"] == pytest.approx(0.849, abs=5e-4)
    assert found["ordinal alpha"]["first"] == pytest.approx(0.815, abs=5e-4)
    assert found["votes"] == {"a": 9, "b": 10, "c": 11, "d": 11}


def test_agreement_counts_who_was_missing_why_and_where_voters_are_far_apart() -> None:
    found = agreed_on("ab", cast(9, 9), cast(1, 8), cast(None, 3), cast(5, 6))
    assert found["missing"] == {"a": {"why": 1}}
    assert found["apart by 4 or more"] == 1
    assert found["furthest apart"] == [{"pair": replace(NODULE, number=1).id, "votes": {"b": 8, "a": 1}}]
    assert found["rank correlation"] == {"a, b": 0.5}


def test_agreement_of_one_voter_or_of_equal_votes_is_not_defined() -> None:
    assert "alpha" not in agreed_on("a", cast(3), cast(4))
    assert agreed_on("ab", cast(3, 3), cast(3, 3))["alpha"] == {"first": None, "last": None}


# ---------------------------------------------------------------- the scorer


def scored(*pairs: Pair) -> list[Score]:
    with MedLlmVoteScorer().open(Setting()) as live:
        return live.score(pairs)


def test_the_embedded_voter_rates_and_says_why() -> None:
    (score,) = scored(NODULE)
    assert score.relevance == 0.9
    assert score.evidence == {
        "votes": [{"voter": "rules", "score": 9, "reason": "nodule: present / absent"}],
        "rounds": 1,
        "agreed": True,
    }


@pytest.mark.parametrize(
    ("question", "chosen", "rejected"),
    [
        ("图像中有结节吗?", "有", "没有"),
        ("What is the patient's mood?", "Cheerful", "It seems that the person is sad."),
        ("Was this taken with MRI?", "Yes", "No"),
        ("Is there a nodule?", "Yes", "I am not able to say."),
        ("Describe the findings.", "There is a nodule.", "右肺有结节"),
    ],
)
def test_what_it_cannot_read_it_does_not_rate(question: str, chosen: str, rejected: str) -> None:
    (score,) = scored(text_pair(question, chosen, rejected))
    assert score.relevance is None
    assert score.evidence["votes"][0]["score"] is None


def test_it_rates_text_pairs_only_and_wants_a_voter() -> None:
    assert MedLlmVoteScorer.rates == {"text"}
    assert MedLlmVoteScorer().voters == (RulesVoter(),)
    with pytest.raises(ValidationError):
        MedLlmVoteScorer(voters=())


# ---------------------------------------------------------------- what it reads


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Small right upper lobe nodule.", [FindingMention("nodule", sides=RIGHT, places=UPPER, severity=1)]),
        (
            "No pneumothorax or effusion.",
            [FindingMention("pneumothorax", "absent"), FindingMention("effusion", "absent")],
        ),
        ("The lungs are clear.", [FindingMention("opacity", "absent")]),
        ("The lungs are not clear.", [FindingMention("opacity")]),
        ("The heart is not enlarged.", [FindingMention("cardiomegaly", "absent")]),
        ("Heart size is normal.", [FindingMention("cardiomegaly", "absent")]),
        ("The heart is mildly enlarged.", [FindingMention("cardiomegaly", severity=1)]),
        ("Pneumonia cannot be excluded.", [FindingMention("pneumonia", "uncertain")]),
        ("The pneumothorax has resolved.", [FindingMention("pneumothorax", "absent")]),
        ("No change in the left effusion.", [FindingMention("effusion", sides=LEFT, trend="same")]),
        ("Evaluation for pneumothorax is limited.", []),
        ("HISTORY: Pneumonia.\n\nFINDINGS: Mild edema.", [FindingMention("edema", severity=1)]),
        ("Mild to moderate edema, improved.", [FindingMention("edema", severity=1.5, trend="better")]),
        ("A 1.2 cm nodule.", [FindingMention("nodule", size=12)]),
        ("Effusions, larger on the left.", [FindingMention("effusion", sides=LEFT, more="left")]),
        ("Bilateral effusions, right greater than left.", [FindingMention("effusion", sides=BOTH, more="right")]),
        (
            "Moderate left and small right effusions.",
            [FindingMention("effusion", sides=LEFT, severity=2), FindingMention("effusion", sides=RIGHT, severity=1)],
        ),
        (
            "Opacity at the left base may represent atelectasis.",
            [FindingMention("opacity", sides=LEFT, places=LOWER), FindingMention("atelectasis", "uncertain")],
        ),
        (
            "No effusion, but the heart is enlarged and there is edema.",
            [FindingMention("effusion", "absent"), FindingMention("cardiomegaly"), FindingMention("edema")],
        ),
        ("A picture of a cat.", []),
        ("", []),
    ],
)
def test_it_reads_findings_negation_doubt_side_place_severity_and_trend(
    text: str, expected: list[FindingMention]
) -> None:
    assert read_mentions(text) == expected


@pytest.mark.parametrize(
    ("question", "answer", "expected"),
    [
        ("Is there a nodule?", "Yes", [FindingMention("nodule")]),
        ("Is there a nodule?", "No", [FindingMention("nodule", "absent")]),
        ("Are the lungs normal?", "No.", [FindingMention("opacity")]),
        ("Is there a nodule on the left?", "no", [FindingMention("nodule", "absent", sides=LEFT)]),
        ("Is there a nodule?", "No pneumothorax.", [FindingMention("pneumothorax", "absent")]),
        ("Is there a nodule?", "No, the film shows a nodule.", [FindingMention("nodule", "absent")]),
        ("Which side is the mass on?", "The left side.", [FindingMention("mass", sides=LEFT)]),
        ("How severe is the edema?", "Severe", [FindingMention("edema", severity=3)]),
        ("Which side is the catheter on?", "The mass is large.", [FindingMention("mass", severity=3)]),
        ("Where is the infarct?", "The infarct is in the thumb.", []),
    ],
)
def test_an_answer_is_read_with_its_question(question: str, answer: str, expected: list[FindingMention]) -> None:
    assert read_answer(question, answer) == expected


@pytest.mark.parametrize(
    ("answer", "said"), [("Yes, left", "yes"), ("NO.", "no"), ("No nodule", ""), ("No it is not", "no"), ("Nodule", "")]
)
def test_yes_or_no_is_what_an_answer_opens_with(answer: str, said: str) -> None:
    assert yes_or_no(answer) == said


@pytest.mark.parametrize(
    ("chosen", "rejected", "rating"),
    [
        ("Small left effusion.", "A small pleural effusion on the left.", 0),
        ("Small left effusion.", "Small right effusion.", 8),
        ("Small left effusion.", "Small effusions on both sides.", 7),
        ("Small left effusion.", "Large left effusion.", 5),
        ("Small left effusion.", "Moderate left effusion.", 4),
        ("Small left effusion.", "Left effusion.", 1),
        ("Small left effusion.", "No effusion.", 9),
        ("Small left effusion.", "Possible small left effusion.", 3),
        ("Possible effusion.", "No effusion.", 7),
        ("Left pneumothorax.", "Left effusion.", 10),
        ("Left upper lobe mass.", "Left lower lobe mass.", 6),
        ("Left upper lobe mass.", "Right lower lobe mass.", 10),
        ("Consolidation.", "Opacity.", 4),
        ("The lungs are clear.", "Consolidation.", 9),
        ("Opacity, no consolidation.", "Opacity.", 1),
        ("Left effusion, no right effusion.", "Left effusion.", 1),
        ("Effusion has improved.", "Effusion has worsened.", 4),
        ("8 mm nodule.", "3 cm nodule.", 4),
    ],
)
def test_the_more_a_difference_matters_the_higher_it_rates(chosen: str, rejected: str, rating: int) -> None:
    for one, other in ((chosen, rejected), (rejected, chosen)):
        found = compare_answers("Describe the findings.", one, other)
        assert found is not None
        assert found.rating == rating, found.reason


def test_the_examples_of_the_documentation_rate_as_it_says() -> None:
    page = (ROOT / "docs" / "relevance.md").read_text()
    rows = re.findall(r"^\| ([^|]+\.) \| ([^|]+\.) \| (\d+) \|$", page, re.MULTILINE)
    assert len(rows) == 18
    assert {row: compare_answers("", *row[:2]).rating for row in rows} == {row: int(row[2]) for row in rows}  # type: ignore[union-attr]
    assert f"{len(list(findings()))} findings" in page


def test_presence_rates_by_harm_and_above_every_trait() -> None:
    harms = {finding.name: finding.harm for finding in findings()}
    assert len(harms) == len(list(findings()))
    assert all(7 <= harm <= 10 for harm in harms.values())
    assert harms["pneumothorax"] > harms["degenerative change"]


_SENTENCE = "there is no small left effusion and right pneumothorax , heart may not be enlarged . lungs clear 3 cm ;"
_WORDS = st.lists(st.sampled_from(_SENTENCE.split()), max_size=25)


@settings(max_examples=300, deadline=None)
@given(_WORDS, _WORDS)
def test_comparing_is_symmetric_and_an_answer_equals_itself(one: list[str], other: list[str]) -> None:
    first, second = " ".join(one), " ".join(other)
    ahead, back = compare_answers("", first, second), compare_answers("", second, first)
    assert (ahead and ahead.rating) == (back and back.rating)
    same = compare_answers("", first, first)
    assert same is None or same.rating == 0


@settings(deadline=None)
@given(st.text(max_size=200), st.text(max_size=200))
def test_any_text_is_read_without_complaint(question: str, answer: str) -> None:
    read_answer(question, answer)


@pytest.mark.parametrize("text", ["No effusion, " * 1000, "x" * 50_000, "pulmonary " * 5000, "left and right " * 3000])
def test_endless_repetition_is_read_in_a_moment(text: str) -> None:
    started = time.perf_counter()
    read_mentions(text)
    assert time.perf_counter() - started < 5


def test_all_that_is_said_about_a_phantom_is_read() -> None:
    language = pytest.importorskip("mmedpo_plugins.phantom.language")
    vocabulary = pytest.importorskip("mmedpo_plugins.phantom.findings")
    for label in vocabulary.LABELS:
        asked = language.is_there(label, True)
        assert compare_answers(asked.question, "Yes", "No").rating >= 8  # type: ignore[union-attr]
        small = vocabulary.PhantomFinding(label, "left", "upper", "small")
        large = vocabulary.PhantomFinding(label, "right", "lower", "large")
        for aspect in language.aspects(small):
            one, other = language.which(small, aspect), language.which(large, aspect)
            assert compare_answers(one.question, one.answer, other.answer).rating >= 5  # type: ignore[union-attr]
            assert compare_answers(one.question, one.answer, one.answer).rating == 0  # type: ignore[union-attr]
        told, empty = language.report([small]), language.report([])
        assert compare_answers("Describe the image.", told, empty).rating >= 8  # type: ignore[union-attr]


# ---------------------------------------------------------------- how well it reads, on reports it was not made on

needs_radlabels = pytest.mark.skipif(not installed(), reason="radlabels is not here: pip install --no-deps radlabels")


def rating(one: str, other: str) -> int:
    found = compare_answers("", one, other)
    return -1 if found is None else found.rating


def in_order(triple: Triple) -> bool:
    changed, severity, paraphrase = (rating(triple.source, text) for text in triple.rewrites)
    return changed > severity > paraphrase >= 0


@needs_radlabels
@pytest.mark.parametrize("half", ["develop", "held out"])
def test_finding_or_side_changed_rates_above_severity_changed_above_paraphrase(half: str) -> None:
    rewritten = list(triples(half))  # type: ignore[arg-type]
    right = Counter(triple.how for triple in rewritten if in_order(triple))
    every = Counter(triple.how for triple in rewritten)
    assert len(rewritten) > 200
    assert right.total() / every.total() >= 0.9, {how: right[how] / every[how] for how in every}


@needs_radlabels
def test_paraphrases_rate_at_most_a_fifth() -> None:
    ratings = [rating(triple.source, triple.paraphrase) for triple in triples("held out")]
    assert sum(0 <= one <= 2 for one in ratings) / len(ratings) >= 0.95


@needs_radlabels
def test_what_reports_state_as_present_or_absent_is_read_so() -> None:
    names = {"pneumothorax": "pneumothorax", "pleural_effusion": "effusion", "cardiomegaly": "cardiomegaly"}
    names |= {"atelectasis": "atelectasis", "pulmonary_edema": "edema", "consolidation": "consolidation"}
    read_so: Counter[tuple[str, bool]] = Counter()
    for text, truth in labels("held out"):
        mentions = read_mentions(text)
        for label, name in names.items():
            said = {mention.status for mention in mentions if mention.finding == name}
            if label in truth and said:
                read_so[truth[label], (said == {"absent"}) == (truth[label] == "definitely absent")] += 1
    for status in ("definitely present", "definitely absent"):
        assert read_so[status, True] / (read_so[status, True] + read_so[status, False]) > 0.97
