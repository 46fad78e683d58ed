"""The reader of pairs in other tools' forms, as those tools' own documentation writes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset, Features, List
from datasets import Image as ImageFeature
from mmedpo_plugins.readers.pairs.pairs import PairsReader
from PIL import Image

from mmedpo import GIVEN, DataError, Drop, Pair

ASKED = {"role": "user", "content": "<image>What is this?"}


def said(answer: str) -> dict[str, str]:
    return {"role": "assistant", "content": answer}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    for number, name in enumerate(("cat.png", "dog.png")):
        Image.new("L", (4, 4), number).save(tmp_path / "images" / name)
    return tmp_path


def read(root: Path, *rows: Any, name: str = "pairs.jsonl", **options: Any) -> list[Pair | Drop]:
    text = "\n".join(map(json.dumps, rows)) if name.endswith("l") else json.dumps(rows)
    (root / name).write_text(text)
    return list(PairsReader(root=root, **options).read())


def read_one(root: Path, row: Any, **options: Any) -> Pair:
    (pair,) = read(root, row, **options)
    assert isinstance(pair, Pair)
    return pair


SWIFT = {"messages": [ASKED, said("A cat.")], "images": ["cat.png"]}


@pytest.mark.parametrize(
    "rejected",
    [
        {"rejected_response": "A dog."},
        {"rejected_response": [said("A dog.")]},
        {"rejected_messages": [ASKED, said("A dog.")], "rejected_images": ["cat.png"]},
    ],
)
def test_ms_swift_has_three_ways_to_write_a_rejected_answer(root: Path, rejected: dict[str, Any]) -> None:
    pair = read_one(root, {**SWIFT, **rejected})
    assert (pair.case.question, pair.chosen.answer, pair.rejected.answer) == ("What is this?", "A cat.", "A dog.")
    assert (pair.kind, pair.made_by, pair.relevance, pair.notes) == ("text", "pairs", None, {})
    assert pair.rejected.image is pair.chosen.image


def test_a_row_without_an_id_has_one_that_stays_its_own(root: Path) -> None:
    """A clinician's rating names a pair by it."""

    def ids(*rows: dict[str, Any]) -> list[str]:
        return [item.case.id for item in read(root, *rows) if isinstance(item, Pair)]

    rows = [{**SWIFT, "rejected_response": answer} for answer in ("A dog.", "A bird.", "A cow.")]
    first = ids(*rows)
    assert len(set(first)) == 3
    assert ids({**SWIFT, "rejected_response": "A fish."}, *rows)[1:] == first
    assert ids(*reversed(rows)) == first[::-1]
    assert ids(rows[0], rows[0]) == [first[0], f"{first[0]}~2"]


def test_ms_swift_may_reject_an_image(root: Path) -> None:
    pair = read_one(root, {**SWIFT, "rejected_images": ["dog.png"]})
    assert (pair.kind, pair.rejected.answer) == ("image", "A cat.")
    assert pair.rejected.image.path.endswith("dog.png")


def test_an_image_may_be_named_in_full_where_it_is_in_the_folder(root: Path) -> None:
    row = {**SWIFT, "rejected_response": "A dog.", "images": [str(root / "images" / "cat.png")]}
    assert read_one(root, row).case.image.path == str(root / "images" / "cat.png")
    with pytest.raises(DataError, match="outside the folder"):
        read(root, {**row, "images": ["/etc/cat.png"]})


def test_llama_factory_has_one_image_and_two_answers(root: Path) -> None:
    row = {
        "conversations": [{"from": "human", "value": "<image>Is it a cat?"}],
        "chosen": {"from": "gpt", "value": "Yes"},
        "rejected": {"from": "gpt", "value": "No"},
        "images": ["images/cat.png"],
    }
    (root / "dataset_info.json").write_text("{}")
    pair = read_one(root, row, name="pairs.json")
    assert (pair.case.question, pair.case.kind, pair.case.group) == ("Is it a cat?", "closed", "images/cat.png")


def test_the_released_form_has_its_score(root: Path) -> None:
    def turns(answer: str) -> list[dict[str, str]]:
        return [{"from": "human", "value": "<image>\nIs it?"}, {"from": "gpt", "value": f" {answer}"}]

    row = {"id": 7, "image": "cat.png", "conversations": turns("No"), "rejected_conversations": turns("Yes, it is.")}
    pair = read_one(root, {**row, "weighted_score": 0.9}, name="pairs.json")
    assert (pair.case.id, pair.chosen.answer, pair.rejected.answer, pair.relevance) == ("7", "No", "Yes, it is.", 0.9)


@pytest.mark.parametrize(
    "prompt",
    ["What is it?", [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is it?"}]}]],
)
def test_trl_writes_texts_or_turns_and_images_within_the_row(tmp_path: Path, prompt: Any) -> None:
    Image.new("L", (4, 4), 3).save(tmp_path / "a.png")
    held = {"bytes": (tmp_path / "a.png").read_bytes(), "path": None}
    data = Dataset.from_list([{"prompt": prompt, "chosen": "A cat.", "rejected": "A dog.", "images": [held]}])
    shape = Features({**data.features, "images": List(ImageFeature())})
    (tmp_path / "set").mkdir()
    data.cast(shape).to_parquet(tmp_path / "set" / "train.parquet")
    (pair,) = PairsReader(root=tmp_path / "set").read()
    assert isinstance(pair, Pair)
    assert (pair.case.question, pair.chosen.answer) == ("What is it?", "A cat.")
    assert pair.case.image.load().getpixel((0, 0)) == 3


def test_a_table_beside_a_folder_of_images_names_its_files_as_datasets_wants_it(root: Path) -> None:
    answers = {"chosen": "A cat.", "rejected": "A dog.", "relevance": 0.5}
    row = {"prompt": "What is this?", **answers}
    for column in ({"file_name": "images/cat.png"}, {"images_file_names": ["images/cat.png"]}):
        (pair,) = read(root, {**row, **column}, name="metadata.jsonl")
        assert isinstance(pair, Pair)
        assert Path(pair.case.image.path).name == "cat.png"
    table = {"question": "What is this?", "image_file_name": "cat.png", "rejected_image_file_name": "dog.png"}
    (pair,) = read(root, {**answers, **table}, name="metadata.jsonl")
    assert isinstance(pair, Pair)
    assert [Path(side.image.path).name for side in (pair.chosen, pair.rejected)] == ["cat.png", "dog.png"]
    with pytest.raises(DataError, match=r"metadata\.jsonl:1: 'relevance' must be a number .*, not NaN"):
        read(root, {**row, "file_name": "cat.png", "relevance": float("nan")}, name="metadata.jsonl")


def test_a_plain_table_may_have_a_relevance_and_a_weight(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    Image.new("L", (4, 4)).save(tmp_path / "images/a.png")
    row = {
        "id": 3,
        "question": "What?",
        "image": "a.png",
        "chosen": "A",
        "rejected": "B",
        "relevance": 0.5,
        "weight": 2.0,
    }
    Dataset.from_list([row]).to_parquet(tmp_path / "t.parquet")
    (pair,) = PairsReader(root=tmp_path).read()
    assert isinstance(pair, Pair)
    assert (pair.case.id, pair.relevance, pair.notes[GIVEN]) == ("3", 0.5, {"weight": 2.0})


def test_what_does_not_say_whether_it_is_restricted_is(root: Path) -> None:
    row = {**SWIFT, "rejected_response": "A dog."}
    assert read_one(root, row).case.restricted
    assert not read_one(root, row, restricted=False).case.restricted


def reason(items: list[Pair | Drop]) -> str:
    (item,) = items
    assert isinstance(item, Drop)
    return item.reason


def test_pairs_that_teach_nothing_or_whose_image_is_missing_are_dropped(root: Path) -> None:
    assert reason(read(root, {**SWIFT, "rejected_response": "A cat."})) == "both sides are the same"
    assert reason(read(root, {**SWIFT, "rejected_response": " "})) == "an answer is empty"
    gone = {**SWIFT, "rejected_response": "A dog.", "images": ["gone.png"]}
    assert reason(read(root, gone, missing="skip")) == "the image is missing"
    with pytest.raises(DataError, match=r"no image gone\.png"):
        read(root, gone)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"a": 1}, "is no pair in a form that is known; it has the columns a"),
        ({**SWIFT, "images": []}, r"'images' must hold an image or several, not \[\]"),
        ({**SWIFT, "images": ["cat.png", "dog.png"]}, "the question names 1 images, and a side has 2"),
        ({**SWIFT, "messages": [ASKED]}, "'messages' must hold one question and one answer, not 1 turns"),
        ({**SWIFT, "messages": 3}, "'messages' must be a list of turns, not 3"),
        ({**SWIFT, "rejected_messages": [{**ASKED, "content": "?"}, said("y")]}, "different questions"),
        ({**SWIFT, "rejected_messages": [said("x"), said("y")]}, "holds the turns assistant, assistant"),
        ({**SWIFT, "messages": [{"role": "user", "content": "<image>"}, said("x")]}, "the question is empty"),
        ({**SWIFT, "rejected_response": "x", "relevance": 2}, "'relevance' must be a number from 0 to 1, not 2"),
        (
            {**SWIFT, "rejected_response": "x", "weight": -1},
            "'weight' must be a number that is finite and not negative, not -1",
        ),
        ({**SWIFT, "rejected_response": "x", "mmedpo": "{"}, "'mmedpo' holds broken JSON"),
        ({**SWIFT, "rejected_response": "x", "images": ["../x.png"]}, "outside the folder"),
    ],
)
def test_what_is_wrong_with_a_row_is_said_with_its_place(root: Path, row: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=rf"pairs\.jsonl:2: .*{message}"):
        read(root, {**SWIFT, "rejected_response": "A dog."}, row)


def test_a_folder_must_have_one_file_of_pairs_unless_it_is_named(root: Path) -> None:
    with pytest.raises(DataError, match=r"wants one file of pairs, has none"):
        list(PairsReader(root=root).read())
    row = {**SWIFT, "rejected_response": "A dog."}
    read(root, row)
    (root / "more.jsonl").write_text("")
    with pytest.raises(DataError, match=r"has more\.jsonl, pairs\.jsonl"):
        list(PairsReader(root=root).read())
