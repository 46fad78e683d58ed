"""The reader of released pairs: what it makes of an entry, and how it names what is wrong with one."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from mmedpo_plugins.readers.pairs.mmedpo_json import MmedpoJsonReader
from PIL import Image

from mmedpo import DataError, Drop, Pair, Remark

DATA = ROOT.parent / "shared" / "data"


def turns(question: str, answer: str) -> list[dict[str, str]]:
    return [{"from": "human", "value": f"<image>\n{question}"}, {"from": "gpt", "value": f" {answer}"}]


def entry(chosen: str = "No", rejected: str = "Yes, a mass.", **changes: Any) -> dict[str, Any]:
    question = "Is there a mass?"
    whole = {
        "id": 7,
        "image": "a.png",
        "conversations": turns(question, chosen),
        "rejected_conversations": turns(question, rejected),
        "weighted_score": 0.9,
    }
    return {key: value for key, value in (whole | changes).items() if value is not ...}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "images" / "deep").mkdir(parents=True)
    for number, name in enumerate(("a.png", "b.png", "deep/c.png")):
        Image.new("L", (4, 4), number).save(tmp_path / "images" / name)
    return tmp_path


def read(root: Path, *entries: Any, **options: Any) -> list[Pair | Drop | Remark]:
    (root / "x_dpo_weighted.json").write_text(json.dumps(list(entries)))
    return list(MmedpoJsonReader(root=root, **options).read())


def read_one(root: Path, an_entry: dict[str, Any]) -> Pair:
    (pair,) = read(root, an_entry)
    assert isinstance(pair, Pair)
    return pair


def test_an_entry_becomes_a_text_pair_with_its_published_score(root: Path) -> None:
    pair = read_one(root, entry())
    assert (pair.case.id, pair.case.question, pair.case.answer) == ("7", "Is there a mass?", "No")
    assert (pair.chosen.answer, pair.rejected.answer) == ("No", "Yes, a mass.")
    assert pair.chosen.image is pair.case.image
    assert pair.case.image.path == pair.rejected.image.path == str(root / "images" / "a.png")
    assert (pair.kind, pair.relevance, pair.made_by, pair.number) == ("text", 0.9, "mmedpo-json", 0)
    assert (pair.case.kind, pair.case.group) == ("closed", "a.png")


def test_an_answer_other_than_yes_or_no_makes_an_open_case(root: Path) -> None:
    assert read_one(root, entry(chosen="No mass.")).case.kind == "open"
    assert read_one(root, entry(chosen="yes.", rejected="No")).case.kind == "closed"


WHOLE = ["Describe the film in detail", "Give a detailed summary of the chest X-ray.", "Write a radiology report"]
WHOLE += ["Please explain the contents of the image shown", "Narrate the elements of the given picture"]
PARTS = ["Describe the borders of the lesion in this image", "What are the findings of the scan", "Describe the film?"]


def ask(question: str, **changes: Any) -> dict[str, Any]:
    return entry(
        conversations=turns(question, "Clear."), rejected_conversations=turns(question, "An effusion."), **changes
    )


def test_a_question_that_tells_to_describe_the_image_makes_a_report_and_is_counted(root: Path) -> None:
    told = read(root, *(ask(question, id=question) for question in WHOLE + PARTS))
    kinds = {pair.case.question: pair.case.kind for pair in told if isinstance(pair, Pair)}
    assert kinds == dict.fromkeys(WHOLE, "report") | dict.fromkeys(PARTS, "open")
    assert sum(isinstance(item, Remark) and "a report, since" in item.text for item in told) == len(WHOLE)


def test_the_recipe_may_say_of_what_kind_the_questions_are(root: Path) -> None:
    for kind in ("open", "report"):
        own = {"mmedpo": json.dumps({"case_kind": "closed"})}
        told = read(root, ask(WHOLE[0]), ask(PARTS[0]), ask(PARTS[1], **own), kind=kind)
        assert [pair.case.kind for pair in told if isinstance(pair, Pair)] == [kind] * 3
        assert len(told) == 3, "there is nothing to tell"


def test_a_side_that_is_noised_is_shown_noise_of_the_films_size_the_same_each_time(root: Path) -> None:
    same = {"rejected_conversations": turns("Is there a mass?", "No")}
    remark, pair = read(root, entry(rejected_noised=1, chosen_noised=0, **same))
    assert isinstance(remark, Remark)
    assert "noise in place of the film on the rejected side" in remark.text
    assert isinstance(pair, Pair)
    noise = pair.rejected.image.load()
    assert (pair.kind, pair.chosen.image, noise.size) == ("image", pair.case.image, (4, 4))
    assert noise.tobytes() == pair.rejected.image.load().tobytes()
    remark, pair = read(root, entry(chosen_noised=1))
    assert isinstance(pair, Pair)
    assert (pair.kind, pair.case.group) == ("text", "a.png")
    assert pair.case.image.path.endswith("a.png")
    assert pair.chosen.image.load().tobytes() == pair.rejected.image.load().tobytes() == noise.tobytes()
    assert read(root, entry(image="gone.png", rejected_noised=1), missing="skip") == [Drop("7", "the image is missing")]


def test_data_are_restricted_unless_the_recipe_says_otherwise(root: Path) -> None:
    assert read_one(root, entry()).case.restricted
    (pair,) = read(root, entry(), restricted=False)
    assert isinstance(pair, Pair)
    assert not pair.case.restricted


def test_another_image_on_the_rejected_side_makes_an_image_pair(root: Path) -> None:
    pair = read_one(root, entry(rejected="No", rejected_image="b.png"))
    assert pair.kind == "image"
    assert pair.rejected.image.path.endswith("b.png")
    assert read_one(root, entry(rejected_image="a.png")).kind == "text"


def test_ids_are_numbers_or_texts_or_made_of_what_the_entry_says(root: Path) -> None:
    named = [pair.case.id for pair in read(root, entry(id="x-1"), entry(id=3)) if isinstance(pair, Pair)]
    assert named == ["x-1", "3"]
    alone, later = read(root, entry(id=...)), read(root, entry(id="x-1"), entry(id=...))
    assert [pair.case.id for pair in alone if isinstance(pair, Pair)] == [
        pair.case.id for pair in later[1:] if isinstance(pair, Pair)
    ]


def test_an_id_used_again_is_made_unique(root: Path) -> None:
    pairs = read(root, *(entry(id=name) for name in (1, 1, "1~2", "1", 1)))
    names = [pair.case.id for pair in pairs if isinstance(pair, Pair)]
    assert names[:2] == ["1", "1~2"]
    assert len(set(names)) == 5


def test_an_entry_without_a_score_is_left_to_a_scorer(root: Path) -> None:
    assert read_one(root, entry(weighted_score=...)).relevance is None


def test_pairs_that_teach_nothing_are_dropped_with_a_reason(root: Path) -> None:
    assert read(root, entry(rejected="No")) == [Drop("7", "both sides are the same")]
    assert read(root, entry(rejected=" ")) == [Drop("7", "an answer is empty")]


def test_images_are_looked_for_in_images_then_in_root_or_where_told(root: Path) -> None:
    Image.new("L", (4, 4)).save(root / "beside.png")
    assert read_one(root, entry(image="deep/c.png")).case.image.path == str(root / "images" / "deep" / "c.png")
    assert read_one(root, entry(image="beside.png")).case.image.path == str(root / "beside.png")
    (pair,) = read(root, entry(image="c.png"), images=root / "images" / "deep")
    assert isinstance(pair, Pair)


def test_missing_images_are_an_error_that_names_the_first_and_the_way_out(root: Path) -> None:
    entries = [entry(image=f"{number}.png") for number in range(5)]
    with pytest.raises(DataError, match=r"no image 0\.png, 1\.png, 2\.png and 2 more; .*data\.missing=skip"):
        read(root, *entries)


def test_missing_images_are_skipped_and_counted_when_the_recipe_says_so(root: Path) -> None:
    entries = entry(image="gone.png", id=1), entry(id=2), entry(id=3, rejected_image="gone.png")
    results = read(root, *entries, missing="skip")
    assert Counter(type(item) for item in results) == {Drop: 2, Pair: 1}
    assert results[0] == Drop("1", "the image is missing")


@pytest.mark.parametrize("name", ["../x.png", "/etc/x.png", "a/../../x.png", r"..\x.png", "C:/x.png"])
def test_an_image_outside_the_folder_is_refused(root: Path, name: str) -> None:
    with pytest.raises(DataError, match=r"x_dpo_weighted\.json:1:2: entry 0: .* outside the folder"):
        read(root, entry(image=name), missing="skip")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"conversations": ...}, "'conversations' must be a list of turns, not missing"),
        ({"conversations": turns("?", "x") * 2}, "holds the turns user, assistant, user, assistant"),
        ({"rejected_conversations": turns("Is there another?", "x")}, "different questions"),
        ({"conversations": turns("", "No"), "rejected_conversations": turns("", "Yes")}, "the question is empty"),
        ({"conversations": [{"value": "Is?"}, {"value": "No"}]}, "does not say whose it is"),
        ({"conversations": [{"from": "human", "value": 3}, turns("", "")[1]]}, "holds no text but 3"),
        ({"image": ...}, "'image' must be a text, not missing"),
        ({"image": ["a.png"]}, "'image' must be a text"),
        ({"weighted_score": 9}, "'weighted_score' must be a number from 0 to 1, not 9"),
        ({"weighted_score": float("nan")}, "'weighted_score' must be a number from 0 to 1, not NaN"),
        ({"weighted_score": "0.9"}, "'weighted_score' must be a number"),
        ({"id": [1]}, "'id' must be a text, not "),
        ({"rejected_noised": "b.png"}, "'rejected_noised' must be 0 or 1, not .*'rejected_image' names an image"),
        ({"rejected_noised": 1, "chosen_noised": 1}, "rejected_noised and chosen_noised; a pair takes one"),
        ({"rejected_noised": 1, "rejected_image": "b.png"}, "rejected_noised and rejected_image; a pair takes one"),
    ],
)
def test_what_is_wrong_with_an_entry_is_said_with_its_place(root: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=rf"x_dpo_weighted\.json:1:\d+: entry 1: .*{message}"):
        read(root, entry(), entry(**change))


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('[\n {"id": 1,\n  "image": }\n]', "3:12"),
        ('{"id": 1}', "1:1"),
        ("[\n3 4]", "2:1"),
        ("", "1:1"),
        ("[", "1:2"),
        ("[] []", "1:4"),
    ],
)
def test_broken_json_is_said_with_line_and_column(root: Path, text: str, place: str) -> None:
    file = root / "x_dpo_weighted.json"
    file.write_text(text)
    with pytest.raises(DataError, match=rf"x_dpo_weighted\.json:{place}: "):
        list(MmedpoJsonReader(root=root).read())


def test_a_byte_order_mark_does_no_harm(root: Path) -> None:
    (root / "x_dpo_weighted.json").write_text(json.dumps([entry()]), encoding="utf-8-sig")
    assert len(list(MmedpoJsonReader(root=root).read())) == 1


def test_an_empty_list_has_no_pairs(root: Path) -> None:
    assert read(root) == []


def test_root_must_have_one_file_of_pairs_unless_it_is_named(root: Path) -> None:
    with pytest.raises(DataError, match=r"has none; name the file with data\.file"):
        list(MmedpoJsonReader(root=root).read())
    read(root, entry())
    (root / "y_dpo_weighted.json").write_text("[]")
    with pytest.raises(DataError, match=r"has x_dpo_weighted\.json, y_dpo_weighted\.json"):
        list(MmedpoJsonReader(root=root).read())
    assert list(MmedpoJsonReader(root=root, file=root / "y_dpo_weighted.json").read()) == []


def test_folders_and_files_that_are_not_there_are_named(root: Path) -> None:
    for options in ({"root": root / "no"}, {"root": root, "file": root / "no"}, {"root": root, "images": root / "no"}):
        with pytest.raises(DataError, match=r"/no: there is no such (folder|file)"):
            list(MmedpoJsonReader(**options).read())


@pytest.mark.slow
@pytest.mark.parametrize(("name", "pairs", "drops"), [("vqa_rad", 7, 1790), ("slake", 0, 4919)])
def test_the_released_files_are_read(name: str, pairs: int, drops: int) -> None:
    if not (DATA / name).exists():
        pytest.skip(f"{DATA / name} is not here")
    results = list(MmedpoJsonReader(root=DATA / name, missing="skip").read())
    assert Counter(type(item) for item in results) == Counter({Pair: pairs, Drop: drops})


@pytest.mark.slow
def test_of_the_released_slake_pairs_five_have_equal_sides(tmp_path: Path) -> None:
    if not (DATA / "slake").exists():
        pytest.skip(f"{DATA / 'slake'} is not here")
    file = DATA / "slake" / "slake_dpo_weighted.json"
    for an_entry in json.loads(file.read_text()):
        (tmp_path / an_entry["image"]).parent.mkdir(exist_ok=True)
        (tmp_path / an_entry["image"]).touch()
    results = list(MmedpoJsonReader(root=tmp_path, file=file).read())
    made = [item for item in results if isinstance(item, Pair)]
    assert "report" not in {pair.case.kind for pair in made}, "none of its questions asks for one"
    assert Counter(item.reason for item in results if isinstance(item, Drop)) == {"both sides are the same": 5}
    assert len({pair.id for pair in made}) == len(made) == 4914
    assert len({pair.case.group for pair in made}) == 450
