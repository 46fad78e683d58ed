"""A row of ready pairs is one question with two answers in each form: taken whole, refused by row, or counted."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from mmedpo_plugins.readers.pairs.mmedpo_json import MmedpoJsonReader
from mmedpo_plugins.readers.pairs.pairs import PairsReader
from mmedpo_plugins.readers.pairs.repeated_question import strip_question
from PIL import Image

from mmedpo import DataError, Drop, Pair, Remark
from mmedpo.errors import MmedpoError
from mmedpo.exchange.pairs_io import import_pairs

QUESTION = "Is there a mass?"
Items = list[Pair | Drop | Remark]


def user(text: Any, **more: Any) -> dict[str, Any]:
    return {"role": "user", "content": text, **more}


def said(text: Any, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": text, **more}


def human(text: str) -> dict[str, Any]:
    return {"from": "human", "value": f"<image>\n{text}"}


def gpt(text: str) -> dict[str, Any]:
    return {"from": "gpt", "value": f" {text}"}


TRL = {"images": ["a.png"], "prompt": [user(QUESTION)], "chosen": [said("No")], "rejected": [said("Yes")]}
SWIFT = {"images": ["a.png"], "messages": [user(f"<image>{QUESTION}"), said("No")], "rejected_response": "Yes"}
FACTORY = {"images": ["a.png"], "conversations": [human(QUESTION)], "chosen": gpt("No"), "rejected": gpt("Yes")}
MMEDPO = {
    "image": "a.png",
    "conversations": [human(QUESTION), gpt("No")],
    "rejected_conversations": [human(QUESTION), gpt("Yes")],
}
TABLE = {"image": "a.png", "question": QUESTION, "chosen": "No", "rejected": "Yes"}
SYSTEM = {"role": "system", "content": "You are a radiologist."}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number, name in enumerate(("a.png", "b.png")):
        Image.new("L", (4, 4), number).save(tmp_path / name)
    return tmp_path


def read(root: Path, row: dict[str, Any], **options: Any) -> Items:
    (root / "pairs.jsonl").write_text(json.dumps(row) + "\n")
    return list(PairsReader(root=root, **options).read())


def told(items: Items) -> list[tuple[str, str, str] | str]:
    """Return what items say: question and answers of pairs, texts of remarks, reasons of drops."""
    return [
        (item.case.question, item.chosen.answer, item.rejected.answer)
        if isinstance(item, Pair)
        else item.text
        if isinstance(item, Remark)
        else item.reason
        for item in items
    ]


PAIR = (QUESTION, "No", "Yes")

# --- the published cases -------------------------------------------------------------------------------------------

REFUSED = {
    "p_lf_multi-pairs.json": "'conversations' holds the turns user, assistant, user",
    "p_swift_list-pairs.jsonl": "'rejected_response' holds 2 answers",
    "p_trl_chosen_multi-pairs.jsonl": "'chosen' holds the turns assistant, user, assistant",
    "p_trl_multiturn-pairs.jsonl": "'prompt' holds the turns user, assistant, user",
    "p_trl_prefill-pairs.jsonl": "a prefill",
    "p_table_inf-pairs.jsonl": "'weight' must be a number that is finite and not negative, not Infinity",
    "p_mmedpo_odd-pairs.jsonl": "'mmedpo': id: Input should be a valid string",
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_pair_has_no_room_for_is_refused_by_row(name: str, shared: Path, root: Path) -> None:
    with pytest.raises(DataError, match=rf"{name}:1(:2: entry 0)?: .*{REFUSED[name]}"):
        list(PairsReader(root=root, file=shared / "cases/pairs" / name).read())


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("p_trl_implicit-pairs.jsonl", PAIR),
        ("p_case_only-pairs.jsonl", "both sides differ only in case, punctuation or space"),
        ("p_swift_none-pairs.jsonl", "there is no rejected answer"),
    ],
)
def test_what_can_be_read_is_read_and_what_teaches_nothing_counted(
    name: str, expected: Any, shared: Path, root: Path
) -> None:
    assert told(list(PairsReader(root=root, file=shared / "cases/pairs" / name).read())) == [expected]


def test_import_counts_the_reasons_where_nothing_is_left(shared: Path, root: Path) -> None:
    (root / "pairs.jsonl").write_text((shared / "cases/pairs/p_swift_none-pairs.jsonl").read_text())
    with pytest.raises(DataError, match="no pairs to read; left out: 1 there is no rejected answer"):
        import_pairs(root, root / "recipe.yaml")


# --- the same faults in every form ---------------------------------------------------------------------------------

EARLIER = [user("Where is the heart?"), said("Left.")]


@pytest.mark.parametrize(
    "row",
    [
        TRL,
        {**TRL, "prompt": QUESTION},
        {**TRL, "prompt": QUESTION, "chosen": "No", "rejected": "Yes"},
        {"image": "a.png", "prompt": QUESTION, "chosen": "No", "rejected": "Yes"},
        {"images": ["a.png"], "chosen": [user(QUESTION), said("No")], "rejected": [user(QUESTION), said("Yes")]},
        {**TRL, "chosen": [user(QUESTION), said("No")], "rejected": [user(QUESTION), said("Yes")]},
        {**TRL, "prompt": [user([{"type": "image"}, {"type": "text", "text": QUESTION}])]},
        {**TRL, "prompt": [user([{"type": "image", "text": None}, {"type": "text", "text": QUESTION}])]},
        SWIFT,
        {**SWIFT, "rejected_response": ["Yes"]},
        {**SWIFT, "rejected_response": [said("Yes")]},
        {**SWIFT, "rejected_response": None, "rejected_messages": [user(f"<image>{QUESTION}"), said("Yes")]},
        {**SWIFT, "rejected_messages": [user(f"<image>{QUESTION}"), said("Yes")]},
        FACTORY,
        {**FACTORY, "conversations": [human(QUESTION)], "chosen": "No", "rejected": "Yes"},
        MMEDPO,
        TABLE,
        {**TABLE, "videos": [], "tools": None, "history": ""},
    ],
)
def test_one_question_and_two_answers_are_read_however_they_are_written(root: Path, row: dict[str, Any]) -> None:
    assert told(read(root, row)) == [PAIR]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        # earlier turns
        ({**TRL, "prompt": [*EARLIER, user(QUESTION)]}, "'prompt' holds the turns user, assistant, user"),
        ({**TRL, "prompt": [user("Look."), user(QUESTION)]}, "'prompt' holds the turns user, user"),
        ({**SWIFT, "messages": [*EARLIER, *SWIFT["messages"]]}, "'messages' holds the turns user, assistant, user"),
        ({**FACTORY, "conversations": [human("?"), gpt("x"), human(QUESTION)]}, "holds the turns user, assistant,"),
        ({**MMEDPO, "rejected_conversations": [human("?"), gpt("x")] * 2}, "'rejected_conversations' holds the turns"),
        ({**SWIFT, "history": [["Where?", "Left."]]}, "has history, which has no place in a pair"),
        # further turns, prefills and an assistant's turn where the question should be
        ({**TRL, "chosen": [said("No"), user("sure?"), said("Yes")]}, "'chosen' holds the turns assistant, user"),
        ({**TRL, "rejected": [said("Yes"), said("Surely")]}, "'rejected' holds the turns assistant, assistant"),
        ({**TRL, "prompt": [user(QUESTION), said("The answer is")]}, "a prefill"),
        ({**TRL, "prompt": [said(QUESTION)]}, "a prefill"),
        ({**TRL, "prompt": [SYSTEM]}, "'prompt' holds the turns system"),
        ({**SWIFT, "messages": [said(QUESTION), said("No")]}, "'messages' holds the turns assistant, assistant"),
        ({**FACTORY, "conversations": [gpt(QUESTION)]}, "must end with the question"),
        ({**FACTORY, "conversations": [human(QUESTION), gpt("No")]}, "must end with the question"),
        ({**FACTORY, "chosen": human("No")}, "different questions"),
        ({**MMEDPO, "conversations": [gpt(QUESTION), human("No")]}, "holds the turns assistant, user"),
        ({**SWIFT, "rejected_response": [user("Yes")]}, "'rejected_response' holds a question"),
        # further negatives
        ({**SWIFT, "rejected_response": ["Yes", "Maybe"]}, "'rejected_response' holds 2 answers"),
        ({**SWIFT, "rejected_response": [said("Yes"), said("Maybe")]}, "holds the turns assistant, assistant"),
        (
            {**SWIFT, "rejected_messages": [SWIFT["messages"][0], said("Maybe")]},
            "'rejected_response' and 'rejected_messages' hold different answers",
        ),
        ({**TRL, "rejected": ["Yes", "Maybe"]}, "'rejected' must be a text or a list of turns"),
        ({**TABLE, "rejected": ["Yes", "Maybe"]}, "'rejected' must be a text, not"),
        ({**FACTORY, "rejected": [gpt("Yes"), gpt("Maybe")]}, "'rejected' holds the turns assistant, assistant"),
        # questions that differ, or are not there
        ({**TRL, "chosen": [user("Where?"), said("No")]}, "different questions"),
        ({"images": ["a.png"], "chosen": [user("A?"), said("x")], "rejected": [user("B?"), said("y")]}, "different q"),
        ({"images": ["a.png"], "chosen": "No", "rejected": "Yes"}, "has no 'prompt', and no question in 'chosen'"),
        ({**TRL, "prompt": ""}, "has no 'prompt', and no question"),
        ({**TABLE, "question": " "}, "the question is empty"),
        ({**TRL, "chosen": [user(QUESTION)]}, "has no chosen answer"),
        ({**TRL, "chosen": None}, "'chosen' must be a text or a list of turns, not missing"),
        # other media, tools, speakers
        ({**SWIFT, "videos": ["a.mp4"]}, "has videos, which has no place"),
        ({**FACTORY, "tools": "[...]"}, "has tools, which has no place"),
        ({**TRL, "image": "b.png"}, "must hold its image in 'images' or in 'image'"),
        ({**TRL, "prompt": [{"role": "tool", "content": "x"}]}, 'holds a turn of "tool"'),
        ({**TRL, "prompt": [{"content": "x"}]}, "does not say whose it is"),
        ({**TRL, "chosen": [said("No", tool_calls=[{"name": "x"}])]}, "has tool_calls, which has no place"),
        ({**TRL, "prompt": [user([{"type": "video"}, {"type": "text", "text": "x"}])]}, 'a piece of type "video"'),
        ({**TRL, "prompt": [user([{"type": "image", "image": "b.png"}])]}, "has image of its own"),
        ({**TRL, "prompt": [user([{"type": "image"}, {"type": "image"}, {"type": "text", "text": "x"}])]}, "2 images"),
        ({**SWIFT, "messages": [user("<image><image>Same?"), said("No")]}, "names 2 images, and a side has 1"),
        ({**SWIFT, "messages": [user(QUESTION), said("<image>")]}, "an image in its assistant's turn"),
        # numbers
        ({**TABLE, "weight": float("nan")}, "'weight' must be a number"),
        ({**TABLE, "weight": 10**400}, "'weight' holds a number of more than 300 digits"),
        ({**TABLE, "relevance": float("inf")}, "'relevance' must be a number from 0 to 1"),
        ({**MMEDPO, "weighted_score": float("-inf")}, "'weighted_score' must be a number from 0 to 1"),
        ({**TABLE, "restricted": "yes"}, "'restricted' must be true or false"),
    ],
)
def test_what_would_be_lost_is_refused_by_row(root: Path, row: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError) as caught:
        read(root, row)
    assert str(caught.value).startswith(f"{root}/pairs.jsonl:1: ")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("row", "remark"),
    [
        ({**SWIFT, "messages": [SYSTEM, *SWIFT["messages"]]}, "its system turn is left out"),
        ({**SWIFT, "system": "You are a radiologist."}, "its system turn is left out"),
        ({**TRL, "prompt": [SYSTEM, user(QUESTION)]}, "its system turn is left out"),
        ({**FACTORY, "system": "You are a radiologist."}, "its system turn is left out"),
        ({**TABLE, "source": "x", "margin": 2}, "columns that are not read: margin, source"),
        ({**MMEDPO, "rejected_noised": 1}, "rejected_noised: noise in place of the film on the rejected side"),
        ({**MMEDPO, "relevance": 0.5}, "columns that are not read: relevance"),
        ({**TABLE, "mmedpo": "{}", "weighted_score": 1}, "columns that are not read: mmedpo, weighted_score"),
        (
            {**SWIFT, "messages": [user(f"{QUESTION}<image>"), said("No")]},
            "the image stood within or behind the question, and is shown before it",
        ),
    ],
)
def test_what_is_left_out_of_a_row_that_is_read_is_said(root: Path, row: dict[str, Any], remark: str) -> None:
    assert told(read(root, row)) == [remark, PAIR]


def test_a_row_that_says_it_is_restricted_stays_so(root: Path) -> None:
    (pair,) = read(root, {**TABLE, "restricted": True}, restricted=False)
    assert isinstance(pair, Pair)
    assert pair.case.restricted


# --- what an export tells ------------------------------------------------------------------------------------------

REGION = {"label": "mass", "box": [0, 0, 2, 2], "confidence": 0.5}
FACTS = {"id": "c", "kind": "text", "made_by": "x", "number": 0, "answer": "No", "case_kind": "closed"}


def with_facts(**facts: Any) -> dict[str, Any]:
    return {**SWIFT, "mmedpo": json.dumps({**FACTS, **facts})}


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"kind": "z"}, "'mmedpo': kind: Input should be 'text' or 'image'"),
        ({"number": "q"}, "'mmedpo': number: Input should be a valid integer"),
        ({"number": -1}, "'mmedpo': number"),
        ({"case_kind": "odd"}, "'mmedpo': case_kind"),
        ({"regions": [{"label": 1}]}, "'mmedpo': regions.0.label"),
        ({"regions": [{**REGION, "box": [2, 0, 1, 2]}]}, "'mmedpo': regions.0.box: the box is empty"),
        ({"regions": [{**REGION, "box": [0, 0, 2]}]}, "'mmedpo': regions.0.box"),
        ({"regions": [{**REGION, "confidence": float("nan")}]}, "'mmedpo': regions.0.confidence"),
        ({"regions": {"label": "x"}}, "'mmedpo': regions"),
        ({"evidence": []}, "'mmedpo': evidence"),
        ({"about": "mass"}, "'mmedpo': about"),
        ({"restricted": "no"}, "'mmedpo': restricted"),
        ({"id": ""}, "'mmedpo': id"),
        ({"later": 1}, "'mmedpo': later: Extra inputs are not permitted"),
    ],
)
def test_what_an_export_tells_is_checked_as_it_comes_back(root: Path, facts: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError) as caught:
        read(root, with_facts(**facts))
    assert f"pairs.jsonl:1: {message}" in str(caught.value)


def test_what_an_export_tells_may_be_in_columns_of_its_own(root: Path) -> None:
    row = {**TABLE, **FACTS, "evidence": '{"votes": []}', "regions": [REGION], "scorer": "me", "relevance": 0.5}
    (pair,) = read(root, row)
    assert isinstance(pair, Pair)
    assert (pair.id, pair.case.regions[0].box, pair.notes["given"]["scorer"]) == ("c/x/0", (0, 0, 2, 2), "me")
    with pytest.raises(DataError, match=r"pairs\.jsonl:1: 'case_kind': Input should be"):
        read(root, {**row, "case_kind": "odd"})


def test_two_exports_in_one_file_are_found_out(root: Path) -> None:
    def both(*rows: dict[str, Any]) -> None:
        (root / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)))
        list(PairsReader(root=root).read())

    with pytest.raises(DataError, match=r"pairs\.jsonl:2: the pair 'c/x/0' stands already at .*pairs\.jsonl:1"):
        both(with_facts(), with_facts())
    other = {**with_facts(number=1), "messages": [user("<image>Where?"), said("No")]}
    with pytest.raises(DataError, match=r"pairs\.jsonl:2: the case 'c' has another question"):
        both(with_facts(), other)


# --- answers that repeat the question ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "rest"),
    [
        (f"Question: {QUESTION}\n Yes", "Yes"),
        (f"**Question**: {QUESTION}\n\n- Liver Cancer", "Liver Cancer"),
        (f"question: {QUESTION} Yes", "Yes"),
        ("Question: Is there any mass?\n No", "No"),
        (f"Question: {QUESTION}\n-Original Answer: No\n-Candidate Answer1: Yes\n\n No", "No"),
        (f"{QUESTION} Yes", "Yes"),
        (f"Question: {QUESTION}", ""),
        ("Question: Is the liver large, and where does the spleen lie?\n No", None),
        ("No", None),
        ("There is a mass.", None),
    ],
)
def test_an_answer_that_repeats_the_question_is_known(answer: str, rest: str | None) -> None:
    assert strip_question(QUESTION, answer) == rest


def test_a_sentence_that_goes_on_is_no_repetition() -> None:
    assert strip_question("The heart is", "The heart is enlarged") is None


@pytest.mark.parametrize("side", ["chosen", "rejected"])
def test_a_repeated_question_is_counted_or_taken_off(root: Path, side: str) -> None:
    row = {**TABLE, side: f"Question: {QUESTION}\n Left lobe"}
    remark = f"the {side} answer repeats the question; data.repeated_question=strip takes it off"
    assert told(read(root, row))[0] == remark
    done = told(read(root, row, repeated_question="strip"))
    assert done[0] == f"the {side} answer repeated the question, which is taken off"
    assert "Left lobe" in done[1]
    bare = {**TABLE, side: f"Question: {QUESTION}"}
    assert told(read(root, bare, repeated_question="strip")) == ["an answer is empty"]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "count"), [("slake/slake", 144), ("vqa_rad/vqa-rad", 23)])
def test_of_the_released_pairs_so_many_repeat_the_question(shared: Path, root: Path, name: str, count: int) -> None:
    file = shared / f"data/{name}_dpo_weighted.json"
    for entry in json.loads(file.read_text()):
        (root / entry["image"]).parent.mkdir(exist_ok=True)
        (root / entry["image"]).touch()
    kept = list(MmedpoJsonReader(root=root, file=file).read())
    assert Counter(item.text for item in kept if isinstance(item, Remark)) == {
        "the chosen answer repeats the question; data.repeated_question=strip takes it off": count
    }
    stripped = list(MmedpoJsonReader(root=root, file=file, repeated_question="strip").read())
    chosen = [item.chosen.answer for item in stripped if isinstance(item, Pair)]
    assert not [answer for answer in chosen if answer.startswith("Question") or "Candidate" in answer]
    assert all(chosen)


def test_nothing_but_our_own_errors_leaves_the_reader(root: Path) -> None:
    for row in (TRL, SWIFT, FACTORY, MMEDPO, TABLE):
        for key in row:
            for value in (None, 3, True, [], {}, [[]], [{}], "", [None], {"bytes": 3}, [{"role": []}], [{"from": "x"}]):
                with suppress(MmedpoError):
                    read(root, {**row, key: value})
