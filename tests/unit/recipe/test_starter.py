"""A first recipe is written from what lies there, and runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import Mmedpo
from dicom_films import write as write_film
from PIL import Image
from released_layouts import write_iu_xray, write_mimic_cxr, write_slake, write_vqa_rad

from mmedpo import DataError, RecipeError
from mmedpo.recipe.document.yaml import parse_yaml
from mmedpo.recipe.loading import load_recipe
from mmedpo.recipe.model import Recipe
from mmedpo.recipe.preflight import require_ready
from mmedpo.recipe.starter.flow_yaml import flow
from mmedpo.recipe.starter.starter import StarterRecipe, write_starter

ODD = {
    "german": ("utf-8-sig", ";", ["Röntgenbild", "Name", "Pat.-Nr.", "Frage", "Antwort"], ("Ja", "Nein")),
    "english": ("utf-8", ",", ["img_path", "patient name", "PatientID", "Question", "gt_answer"], ("yes", "No")),
    "french": ("utf-8", "\t", ["fichier", "nom", "patient", "texte", "réponse"], ("oui", "non")),
}
ROLES = ("image", "group", "question", "answer")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def draw_films(folder: Path, count: int = 12) -> None:
    folder.mkdir(parents=True)
    for number in range(count):
        Image.linear_gradient("L").rotate(number).save(folder / f"F{number}.png")


def rows(words: tuple[str, str], ending: str = ".png") -> list[list[str]]:
    asked = [(f"Is {what} there?", words[at]) for at, what in enumerate(("it", "that"))]
    return [[f"F{n}{ending}", f"Erika {n}", f"10{n // 2}", *one] for n in range(12) for one in asked]


def write_table(path: Path, language: str, ending: str = ".png") -> None:
    encoding, delimiter, names, words = ODD[language]
    lines = [delimiter.join(row) for row in [names, *rows(words, ending)]]
    path.write_text("\r\n".join(lines), encoding=encoding)


def begin(*places: str) -> tuple[StarterRecipe, Recipe]:
    made = write_starter([Path(place) for place in places], Path("recipe.yaml"))
    loaded = load_recipe(Path("recipe.yaml"))
    require_ready(loaded)
    return made, loaded.recipe


@pytest.mark.parametrize("language", ODD)
def test_columns_of_odd_names_are_taken_for_what_they_hold(language: str) -> None:
    draw_films(Path("set/films"))
    write_table(Path("set/table.csv" if language != "french" else "set/table.tsv"), language)
    made, recipe = begin("set")
    assert made.guess
    names = ODD[language][2]
    told = {one.role: one.column for one in made.guess.guess.columns}
    assert told == dict(zip(ROLES, [names[0], *names[2:]], strict=True))
    assert made.guess.guess.unread == (names[1],)
    assert {one.role: one.examples for one in made.guess.guess.columns}["group"] == ("100", "101")
    assert made.survey.yes_no == made.survey.cases == 24
    assert recipe.evaluate
    assert recipe.evaluate.data == recipe.data[0].held_out()
    assert recipe.data[0].restricted


def test_no_value_of_the_data_stands_in_the_recipe() -> None:
    draw_films(Path("set/films"))
    write_table(Path("set/table.csv"), "german")
    begin("set")
    text = Path("recipe.yaml").read_text()
    assert not [value for row in rows(("", "")) for value in row if value and value in text]


def test_names_without_their_ending_are_completed_and_missing_films_are_counted() -> None:
    draw_films(Path("films"), 11)
    write_table(Path("table.csv"), "english", ending="")
    made, recipe = begin("table.csv", "films")
    assert made.guess
    assert (made.guess.guess.options["ending"], made.guess.guess.options["missing"]) == (".png", "skip")
    assert made.survey.left_out == {"the image is missing": 2}
    assert recipe.data[0].use == "csv"


def write_reports(folder: Path) -> None:
    draw_films(folder)
    told = "The heart is of normal size and there is a small effusion on the left."
    lines = [json.dumps({"file": f"F{n}.png", "befund": told, "fold": "test" if n > 8 else "train"}) for n in range(12)]
    (folder / "reports.jsonl").write_text("\n".join(lines))


def write_parquet(folder: Path) -> None:
    draw_films(folder / "films")
    held = [(folder / "films" / f"F{n}.png").read_bytes() for n in range(12)]
    table = [{"scan": {"bytes": one, "path": None}, "prompt": "Is it?", "response": "Yes"} for one in held]
    pq.write_table(pa.Table.from_pylist(table), folder / "set.parquet")


def write_films(folder: Path) -> None:
    for number in range(8):
        write_film(folder / f"{number}.dcm", PatientID=f"PAT-{number}")
    lines = [f"{number}.dcm;PAT-{number};Is it there?;Yes" for number in range(8)]
    (folder / "questions.csv").write_text("\n".join(["Datei;Patient;Frage;Antwort", *lines]))


def write_hub_set(folder: Path) -> None:
    import datasets

    part = datasets.Dataset.from_list([{"image": None, "caption": "Nothing is seen.", "image_file": "F1.png"}] * 3)
    draw_films(folder.with_name("drawn"))
    datasets.DatasetDict({"train": part, "test": part}).save_to_disk(str(folder))
    Image.linear_gradient("L").save(folder / "F1.png")


def write_rows(text: str, name: str = "t.csv") -> None:
    (Path("set") / name).write_text(text)


LAYOUTS: dict[str, tuple[Callable[[Path], Any], str, dict[str, Any]]] = {
    "reports": (write_reports, "jsonl", {"question": "Describe the findings of this image.", "kind": "report"}),
    "parquet": (write_parquet, "parquet", {}),
    "films": (write_films, "dicom", {"delimiter": ";"}),
    "hub": (write_hub_set, "hf-dataset", {"question": "What does this image show?"}),
    "slake": (write_slake, "slake", {}),
    "vqa-rad": (write_vqa_rad, "vqa-rad", {}),
    "iu-xray": (write_iu_xray, "iu-xray", {}),
    "mimic-cxr": (write_mimic_cxr, "mimic-cxr", {}),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_layout_is_told_from_its_files(layout: str) -> None:
    write, use, options = LAYOUTS[layout]
    write(Path("set"))
    recipe = begin("set")[1]
    assert recipe.data[0].use == use
    assert {name: getattr(recipe.data[0], name) for name in options} == options
    assert recipe.evaluate
    assert recipe.evaluate.data != recipe.data[0]


def test_cases_of_several_images_end_with_the_pairs() -> None:
    draw_films(Path("set"))
    lines = [{"images": names, "q": "Is it?", "a": "Yes"} for names in (["F1.png", "F2.png"], ["F3.png"])]
    write_rows("\n".join(map(json.dumps, lines)), "t.jsonl")
    made, recipe = begin("set")
    assert (recipe.train, recipe.evaluate) == (None, None)
    assert "the stand-in is shown one" in made.notes[0]


def test_of_few_patients_about_the_share_is_held_out_by_another_seed() -> None:
    draw_films(Path("set"))
    lines = [f"F{n}.png,Is it?,Yes,{n:04d}" for n in range(12)]
    write_rows("\n".join(["image,question,answer,patient", *lines]))
    split = begin("set")[0].split
    assert split
    assert (split.groups, split.cases, split.options["seed"]) == (4, 4, 1)  # 7 of 12 without


def test_the_only_patient_is_not_torn_in_two() -> None:
    draw_films(Path("set"))
    write_rows("image,question,answer,patient\nF1.png,Is it?,Yes,P1\nF2.png,Is it?,No,P1")
    assert begin("set")[1].evaluate is None
    assert "# Nothing is measured: with 1 patient none can be held out." in Path("recipe.yaml").read_text()


@pytest.mark.parametrize(
    ("prepare", "why"),
    [
        (lambda: Path("set").mkdir(), "set: an empty folder"),
        (lambda: draw_films(Path("set")), "set: 12 .png"),
        (lambda: None, "set: there is no such file or folder"),
        (
            lambda: (draw_films(Path("set")), Path("set/t.csv").write_text("a,b\nF1.png,2\n")),
            "columns 'a', 'b': none is",
        ),
        (lambda: (Path("set").mkdir(), write_rows("image,answer\nx.png,2")), "there is no image"),
        (lambda: (draw_films(Path("set")), write_rows("image,answer\n/x/F1.png,2")), "names films by other paths"),
        (lambda: (draw_films(Path("set")), write_rows("", "t.xlsx")), "set/t.xlsx: is a workbook"),
    ],
)
def test_where_nothing_can_be_guessed_it_says_what_it_looked_at(prepare: Callable[[], Any], why: str) -> None:
    prepare()
    with pytest.raises(DataError) as refused:
        write_starter([Path("set")], Path("recipe.yaml"))
    assert why in str(refused.value)
    assert not Path("recipe.yaml").exists()


def test_without_data_it_is_of_the_phantom_and_nothing_is_written_over() -> None:
    made, recipe = begin()
    assert recipe.data[0].use == "phantom"
    with pytest.raises(RecipeError, match="is there already"):
        write_starter([], made.recipe)


def test_a_value_is_read_back_as_it_was_written() -> None:
    value = {
        "a": "no",
        "b": ["1", "null", "x: y", "it's #1", "ä\t", "7e3", "- x", "ok path/x.csv"],
        "c: d": Path("~/x"),
    }
    assert parse_yaml(f"value: {flow(value)}", "x").values["value"] == {**value, "c: d": "~/x"}


@pytest.mark.slow
def test_a_folder_of_films_and_a_table_go_to_a_report(mmedpo: Mmedpo, here: Path) -> None:
    draw_films(here / "set/films")
    write_table(here / "set/table.csv", "german")
    shown = mmedpo("init", "--data", "set", "-o", "mine.yaml")
    assert "  group     from 'Pat.-Nr.'     24 of 24 rows; '100', '101'" in shown.stdout
    assert mmedpo("init", "--data", "set", "-o", "mine.yaml").returncode == 2
    assert mmedpo("init", "--data", "set/films", "-o", "other.yaml").returncode == 4
    done = mmedpo("run", "mine.yaml", "--limit", "4", "--json")
    assert done.returncode == 0, done.stderr
    (page,) = here.glob("runs/*/report.html")
    assert "is trained on, by the split" in page.read_text()
