"""A recipe's mistakes are reported all at once, each with its place and what would be right."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmedpo.errors import RecipeError
from mmedpo.recipe import load_recipe
from mmedpo.yaml12 import parse

FINE = """
output: runs/x
data: {use: phantom, images: 3}
backbone: {use: phantom}
disprefer:
  - {use: self-hallucination}
  - {use: lesion-noise, step: 400}
score:
  - {use: med-llm-vote}
  - {use: detector-confidence}
train: {epochs: 1, learning_rate: 1e-4}
evaluate:
  data: {use: phantom, split: test, images: 2}
  measure: [{use: med-vqa}]
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(text.lstrip())
    return path


def mistakes(path: Path, *overrides: str) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        load_recipe(path, overrides)
    return [line.replace(f"{path}:", "") for line in str(caught.value).splitlines()]


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-7", 1e-7), ("no", "no"), ("yes", "yes"), ("true", True), ("0x10", 16), ("~", None), ("1:30", "1:30")],
)
def test_scalars_are_those_of_yaml_1_2(text: str, value: object) -> None:
    assert parse(f"key: {text}", "x").values["key"] == value


def test_a_fine_recipe_becomes_parts_with_their_options(tmp_path: Path) -> None:
    recipe = load_recipe(write(tmp_path, FINE)).recipe
    assert [part.use for part in recipe.disprefer] == ["self-hallucination", "lesion-noise"]
    assert recipe.weigh.use == "clinical"
    assert recipe.train is not None
    assert recipe.train.learning_rate == 1e-4


def test_all_mistakes_come_at_once_with_line_and_column(tmp_path: Path) -> None:
    text = (
        FINE.replace("step: 400", "stepp: 400")
        .replace("use: med-vqa", "use: med-vqaa")
        .replace("epochs: 1", "epochs: no")
    )
    said = mistakes(write(tmp_path, text + "sead: 3\noutput: runs/y\n"))
    places = [line.split(": ")[0] for line in said]
    assert places == ["15:1", "6:25", "13:19", "10:17", "14:1"]
    assert "did you mean 'step'?" in said[1]
    assert "did you mean 'med-vqa'?" in said[2]
    assert "did you mean 'seed'?" in said[4]


def test_a_missing_key_and_a_missing_part_are_named(tmp_path: Path) -> None:
    said = mistakes(write(tmp_path, "output: runs/x\nbackbone: {use: phantomm}\n"))
    assert any("'data' is missing" in line for line in said)
    assert any(line.startswith("2:17: there is no backbone 'phantomm'; did you mean 'phantom'?") for line in said)


def test_overrides_are_checked_the_same_way(tmp_path: Path) -> None:
    path = write(tmp_path, FINE)
    assert load_recipe(path, ["disprefer.1.step=300", "train.lora.r=4"]).recipe.disprefer[1].model_dump()["step"] == 300
    said = mistakes(path, "train.epohcs=2", "disprefer.1.step=many", "disprefer.7.step=1", "rubbish")
    assert len(said) == 4
    assert all("command line: " in line for line in said)
    assert any("did you mean 'epochs'?" in line for line in said)


def test_an_override_past_the_last_entry_adds_one(tmp_path: Path) -> None:
    path = write(tmp_path, FINE)
    made = load_recipe(path).recipe.disprefer
    longer = load_recipe(path, [f"disprefer.{len(made)}={{use: blank}}"]).recipe.disprefer
    assert [part.use for part in longer] == [*(part.use for part in made), "blank"]


def test_an_override_to_null_removes_a_section(tmp_path: Path) -> None:
    assert load_recipe(write(tmp_path, FINE), ["evaluate=null", "train=~"]).recipe.train is None


def test_two_scorers_of_one_pair_kind_contradict_each_other(tmp_path: Path) -> None:
    text = FINE.replace("  - {use: detector-confidence}", "  - {use: med-llm-vote}")
    said = mistakes(write(tmp_path, text))
    assert any("9:5: text pairs are already rated" in line for line in said)


def test_pairs_that_nobody_rates_are_a_mistake_unless_kept(tmp_path: Path) -> None:
    path = write(tmp_path, FINE.replace("  - {use: detector-confidence}\n", ""))
    assert "6:5: nobody rates the image pairs of 'lesion-noise'" in mistakes(path)[0]
    assert load_recipe(path, ["unrated=keep"]).recipe.unrated == "keep"


@pytest.mark.parametrize(
    ("text", "place"),
    [("a: [1", "1:6"), ("- 1", "1:1"), ("", "1:1"), ("a: {b", "1:6"), ("output: x\n\tdata: y", "2:1")],
)
def test_what_is_no_recipe_is_said_with_its_place(text: str, place: str, tmp_path: Path) -> None:
    assert mistakes(write(tmp_path, text))[0].startswith(f"{place}: ")


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    assert "there is no such file" in mistakes(tmp_path / "nowhere.yaml")[0]
