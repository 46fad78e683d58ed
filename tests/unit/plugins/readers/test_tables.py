"""The readers of CSV and JSON Lines tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, Mmedpo
from mmedpo_plugins.readers.tables import CsvReader, JsonlReader
from PIL import Image

from mmedpo import Case, DataError, Drop

DATA = ROOT.parent / "shared" / "data"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number, name in enumerate(("a.png", "b.png", "mask.png")):
        Image.new("L", (64, 64), number).save(tmp_path / name)
    return tmp_path


def read_csv(root: Path, text: str, **options: Any) -> list[Case | Drop]:
    (root / "vqa.csv").write_text(text)
    return list(CsvReader(file=root / "vqa.csv", **options).read())


def read_jsonl(root: Path, *rows: dict[str, Any], **options: Any) -> list[Case | Drop]:
    (root / "vqa.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    return list(JsonlReader(file=root / "vqa.jsonl", **options).read())


def line(**changes: Any) -> dict[str, Any]:
    return {"image": "a.png", "question": "Is there a nodule?", "answer": "Yes", **changes}


def one(items: list[Case | Drop]) -> Case:
    (case,) = items
    assert isinstance(case, Case)
    return case


def test_a_row_becomes_a_case(root: Path) -> None:
    case = one(read_csv(root, "image,question,answer\na.png,Where is it?,On the left\n"))
    assert (case.question, case.answer, case.kind) == ("Where is it?", "On the left", "open")
    assert (case.image.path, case.group, case.restricted) == (str(root / "a.png"), "", True)


def test_a_row_may_name_several_images_and_a_box_the_one_that_it_lies_in(root: Path) -> None:
    boxes = [{"label": "nodule", "box": [1, 2, 3, 4], "image": 1}, {"box": [1, 2, 3, 4]}]
    case = one(read_jsonl(root, line(image=["a.png", "b.png"], boxes=boxes)))
    assert [Path(image.path).name for image in case.images] == ["a.png", "b.png"]
    assert [region.image for region in case.regions] == [1, 0]
    written = one(read_csv(root, 'image,question,answer\n"[""a.png"", ""b.png""]",Where is it?,On the left\n'))
    assert len(written.images) == 2
    assert one(read_jsonl(root, line(image=["a.png"]))).id == one(read_jsonl(root, line())).id
    (root / "[1].png").write_bytes((root / "a.png").read_bytes())
    assert not one(read_jsonl(root, line(image="[1].png"))).more_images


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (line(image=[]), "vqa.jsonl:1: 'image' is an empty list; a case has an image"),
        (line(image=["a.png", 7]), r"vqa.jsonl:1: 'image' must be a file or a list of files, not \[\"a.png\", 7\]"),
        (line(image=["a.png", "c.png"]), "vqa.jsonl:1: .*: no image c.png"),
        (line(boxes=[{"box": [1, 2, 3, 4], "image": 1}]), "'image' must be a number from 0 to 0, not 1"),
    ],
)
def test_a_row_with_images_that_are_none_is_named(root: Path, row: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_jsonl(root, row)


def ids(items: list[Case | Drop]) -> list[str]:
    return [item.id for item in items if isinstance(item, Case)]


def test_rows_without_an_id_keep_theirs_when_others_are_put_before_them(root: Path) -> None:
    rows = [line(question=f"Is there a nodule at {place}?") for place in ("the top", "the bottom")]
    before = ids(read_jsonl(root, *rows))
    assert ids(read_jsonl(root, line(image="b.png"), rows[0], line(), rows[1]))[1::2] == before
    header = "image,question,answer\n"
    table = "".join(",".join(map(str, row.values())) + "\n" for row in rows)
    assert ids(read_csv(root, header + table)) == before


def test_rows_that_say_the_same_have_ids_of_their_own(root: Path) -> None:
    first, second, other = ids(read_jsonl(root, line(), line(), line(answer="No")))
    assert second == f"{first}~2"
    assert other not in (first, second)


@pytest.mark.parametrize("column", ["id", "kind", "group", "about", "boxes", "restricted"])
def test_null_in_place_of_a_column_leaves_it_unread(root: Path, column: str) -> None:
    plain = one(read_jsonl(root, line(), restricted=False))
    told = {"boxes": [{"label": "n", "box": [1, 2, 11, 22]}], "restricted": "true", "kind": "report"}
    assert one(read_jsonl(root, line(**{column: told.get(column, "x")}), restricted=False)) != plain
    rows = line(**{column: told.get(column, "x")})
    assert one(read_jsonl(root, rows, columns={column: None}, restricted=False)) == plain


def test_all_rows_that_are_wrong_are_told_with_the_missing_images(root: Path) -> None:
    with pytest.raises(DataError) as told:
        read_jsonl(root, line(answer=3.5), line(answer=" "), line(kind="maybe"), line(image="gone.png"))
    where = f"{root / 'vqa.jsonl'}"
    first, second, third = str(told.value).split("\n")
    assert first.startswith(f"{where}:2: 'answer' must be a text")
    assert second.startswith(f"{where}:3: 'kind' must be")
    assert "gone.png" in third


def test_columns_are_mapped_and_others_stay_out_of_the_run(root: Path) -> None:
    text = "no;film;ask;say;person;age;site\n7;a.png;Is it there?;yes;P1;44;lung\n"
    columns = {"id": "no", "image": "film", "question": "ask", "answer": "say", "group": "person"}
    case = one(read_csv(root, text, columns=columns, delimiter=";", notes=["site"]))
    assert (case.id, case.kind, case.group, case.notes) == ("7", "closed", "P1", {"site": "lung"})


def test_a_table_of_reports_needs_no_column_of_questions(root: Path) -> None:
    text = "image,report\na.png,No focal consolidation.\n"
    case = one(read_csv(root, text, columns={"answer": "report"}, question="Describe the film.", kind="report"))
    assert (case.question, case.answer, case.kind) == ("Describe the film.", "No focal consolidation.", "report")


def test_boxes_labels_and_masks_come_with_a_line(root: Path) -> None:
    box = {"label": "nodule", "box": [1, 2, 11, 22], "confidence": 0.5, "mask": "mask.png"}
    case = one(read_jsonl(root, line(boxes=[box], about=["nodule"])))
    (region,) = case.regions
    assert (region.label, region.box, region.confidence) == ("nodule", (1, 2, 11, 22), 0.5)
    assert region.mask is not None
    assert region.mask.path == str(root / "mask.png")
    assert case.about == ("nodule",)


def test_boxes_in_csv_are_json_and_may_have_the_form_of_coco(root: Path) -> None:
    text = 'image,question,answer,boxes,about\na.png,?,x,"[{""label"": ""n"", ""box"": [1, 2, 10, 20]}]",n; m\n'
    case = one(read_csv(root, text, box_form="size"))
    assert case.regions[0].box == (1, 2, 11, 22)
    assert case.about == ("n", "m")


def test_a_row_can_be_restricted_where_the_table_is_not(root: Path) -> None:
    text = "image,question,answer,restricted\na.png,?,x,true\na.png,?,x,no\na.png,?,x,\n"
    told = [case.restricted for case in read_csv(root, text, restricted=False) if isinstance(case, Case)]
    assert told == [True, False, False]
    assert all(case.restricted for case in read_csv(root, text) if isinstance(case, Case))


RECIPE = """
output: run
data: {use: csv, file: vqa.csv, restricted: false}
backbone: {use: phantom}
disprefer: [{use: gpt4o-hallucination, model: gpt-4o}]
unrated: keep
"""


@pytest.mark.slow
@pytest.mark.parametrize(("told", "refused"), [("true", True), ("false", False)])
def test_a_restricted_row_holds_a_run_back_as_a_restricted_set_does(
    root: Path, mmedpo: Mmedpo, told: str, refused: bool
) -> None:
    (root / "vqa.csv").write_text(f"image,question,answer,restricted\na.png,Is it?,yes,\nb.png,Is it?,no,{told}\n")
    (root / "recipe.yaml").write_text(RECIPE)
    done = mmedpo("run", "recipe.yaml", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert ("nothing will be sent to api.openai.com" in " ".join(done.stdout.split())) == refused


def test_missing_images_are_an_error_or_left_out(root: Path) -> None:
    rows = line(image="gone.png"), line()
    with pytest.raises(DataError, match=r"no image gone\.png; .*data\.missing=skip"):
        read_jsonl(root, *rows)
    dropped, kept = read_jsonl(root, *rows, missing="skip")
    assert isinstance(dropped, Drop)
    assert dropped.reason == "the image is missing"
    assert isinstance(kept, Case)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"answer": " "}, "'answer' must be a text"),
        ({"question": None}, "'question' must be a text, not missing"),
        ({"image": "../../etc/passwd"}, "outside the folder of the images"),
        ({"kind": "maybe"}, "'kind' must be closed, open or report"),
        ({"about": [3]}, "'about' must be labels"),
        ({"boxes": "[{"}, "'boxes' holds broken JSON"),
        ({"boxes": {"label": "n"}}, "'boxes' must be a list"),
        ({"boxes": ["n"]}, 'a box must be {"label"'),
        ({"boxes": [{"label": "n", "box": [1, 2, 3]}]}, 'box "n": a box must be four numbers'),
        ({"boxes": [{"label": "n", "box": [30, 30, 10, 10]}]}, r"is empty; .*data\.box_form"),
        ({"boxes": [{"label": "n", "box": [0, 0, 9, 9], "confidence": 3}]}, "'confidence' must be"),
        ({"boxes": [{"label": "n", "box": [0, 0, 9, 9], "mask": "m.png"}]}, "there is no mask 'm.png'"),
        ({"restricted": "perhaps"}, "'restricted' must be true or false"),
    ],
)
def test_what_is_wrong_with_a_row_is_said_with_its_line(root: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=rf"vqa\.jsonl:2: .*{message}"):
        read_jsonl(root, line(), line(**change))


@pytest.mark.parametrize("options", [{"columns": {"group": "patient"}}, {"notes": ["patient"]}])
def test_a_column_that_no_line_has_is_named(root: Path, options: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=r"vqa\.jsonl: has no column 'patient'; there are: answer, image, question"):
        read_jsonl(root, line(), **options)
    assert read_jsonl(root, line(), line(patient="P1", question="Is it left?"), **options)


def test_an_id_that_stands_twice_is_named_with_both_lines(root: Path) -> None:
    with pytest.raises(DataError, match=r"vqa\.jsonl:2: the id '7' stands already at .*vqa\.jsonl:1"):
        read_jsonl(root, line(id=7), line(id="7"))


@pytest.mark.parametrize("options", [{"columns": {"group": "patient"}}, {"notes": ["patient"]}])
def test_a_column_that_is_not_there_is_named_with_those_that_are(root: Path, options: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=r"no column 'patient'; there are: answer, image, question"):
        read_csv(root, "image,question,answer\na.png,?,x\n", **options)


def test_real_films_with_questions_in_a_table_are_read(tmp_path: Path) -> None:
    if not (DATA / "nih_cxr").exists():
        pytest.skip(f"{DATA / 'nih_cxr'} is not here")
    (tmp_path / "q.csv").write_text(
        "image,question,answer\n00000001_000.png,Is the heart enlarged?,Yes\n00027426_000.png,Is it a PA film?,Yes\n"
    )
    cases = list(CsvReader(file=tmp_path / "q.csv", images=DATA / "nih_cxr").read())
    assert [case.image.load().size for case in cases if isinstance(case, Case)] == [(512, 512)] * 2


def test_one_question_for_all_rows_and_a_column_of_questions_contradict_each_other(root: Path) -> None:
    with pytest.raises(ValueError, match=r"`columns\.question` would not be read; leave one out"):
        CsvReader(file=root / "vqa.csv", question="What is it?", columns={"question": "asked"})  # type: ignore[arg-type]
