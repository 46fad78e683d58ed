"""A recipe's mistakes are reported all at once, each with its place and what would be right."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from mmedpo.errors import RecipeError
from mmedpo.recipe.document.yaml import parse_yaml
from mmedpo.recipe.loading import load_recipe
from mmedpo.recipe.planning import plan_runs

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
    assert parse_yaml(f"key: {text}", "x").values["key"] == value


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
    assert "'data' is missing" in mistakes(write(tmp_path, "output: runs/x\nbackbone: {use: phantom}\n"))[0]
    said = mistakes(write(tmp_path, "output: runs/x\nbackbone: {use: phantomm}\ndata: {use: phantom}\n"))
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


BAD_YAML = {
    "an alias within itself": ("x: &x [*x]", "1:4: this holds an alias for itself"),
    "an alias within a mapping": ("x: &x {y: {z: *x}}", "1:4: this holds an alias for itself"),
    "an alias bomb": (
        "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
        + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9)),
        "more than 100,000 values",
    ),
    "deep brackets": ("x: " + "[" * 100_000, "nested more than 64 deep"),
    "deep braces": ("x: " + "{a: " * 3000, "nested more than 64 deep"),
    "deep lists": ("- " * 3000 + "x", "nested more than 64 deep"),
    "no number": ("seed: .NaN", "1:7: .NaN: a recipe's numbers are finite"),
    "infinity": ("seed: -.inf", "1:7: -.inf: a recipe's numbers are finite"),
    "an overflow": ("seed: 1e999", "1:7: 1e999: a recipe's numbers are finite"),
    "a tag that does not fit": ("seed: !!int abc", "1:7: 'abc' is no number"),
    "a truth that is none": ("seed: !!bool maybe", "1:7: the tag 'bool' does not fit"),
    "a tag of one's own": ("seed: !mine 3", "1:7: the tag '!mine' does not fit"),
    "digits": (f"seed: {'9' * 5000}", "1:7: this number has 5,000 digits"),
    "hexadecimal digits": (f"seed: 0x{'f' * 5000}", "1:7: this number has 5,002 digits"),
    "a key that is a list": ("? [a]\n: 1", "1:3: a key is a word"),
    "half a character": ('output: "\\ud800"', "1:9: '\\ud800' holds a character that is none"),
    "a NUL within text": ('output: "a\\0b"', "1:9: 'a\\x00b' holds a character that is none"),
    "a NUL": ("a: b\nx: \x00", "2:4: this is not YAML"),
    "YAML 1.1": ("%YAML 1.1\n---\nseed: no", "3:7: the tag 'bool' does not fit 'no'"),
    "two documents": ("a: 1\n---\nb: 1", "2:1: this is not YAML"),
}


@pytest.mark.timeout(30)
@pytest.mark.parametrize("name", BAD_YAML)
def test_yaml_that_no_recipe_needs_is_one_line_with_its_place(name: str, tmp_path: Path) -> None:
    text, message = BAD_YAML[name]
    said = mistakes(write(tmp_path, text))
    assert len(said) == 1
    assert message in said[0]


@pytest.mark.timeout(30)
@pytest.mark.parametrize("name", ["deep", "digits", "dotNaN", "laughs", "self_alias", "taggedint"])
def test_each_shared_case_of_a_broken_recipe_is_one_line(name: str, shared: Path) -> None:
    said = mistakes(shared / f"cases/recipes/{name}.yaml")
    assert len(said) == 1
    assert said[0][0].isdigit()


@pytest.mark.timeout(30)
def test_what_can_be_read_but_once_or_has_no_end_is_no_recipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero"), Path("/dev/stdin"), tmp_path):
        assert "a recipe is a file" in mistakes(path)[0]


@pytest.mark.parametrize("value", ["~/x", "~root/x"])
def test_a_leading_tilde_is_the_home_folder(value: str, tmp_path: Path) -> None:
    path = write(tmp_path, FINE.replace("runs/x", value))
    assert str(load_recipe(path).recipe.output) == os.path.expanduser(value)
    changed = load_recipe(write(tmp_path, FINE), [f"output={value}", f"backbone.adapter={value}"]).recipe
    assert changed.backbone.adapter == str(changed.output) == os.path.expanduser(value)


@pytest.mark.parametrize("value", ["$HOME/x", "${DATA}/x", "$HOME", "~nobody-of-this-name/x", "~nobody", '"~"'])
@pytest.mark.parametrize("key", ["output", "journal", "backbone.adapter", "backbone.checkpoint", "train.launch.config"])
def test_what_a_shell_would_fill_in_is_refused_where_nothing_does(key: str, value: str, tmp_path: Path) -> None:
    said = mistakes(write(tmp_path, FINE), f"{key}={value}")
    assert len(said) == 1
    assert said[0].startswith(f"command line: {key}=")


def test_a_dollar_or_a_tilde_that_begins_no_path_stays(tmp_path: Path) -> None:
    data = "{use: csv, file: x.csv, delimiter: '~', columns: {answer: $answer}, question: ~5 mm?}"
    reader = load_recipe(write(tmp_path, FINE.replace("{use: phantom, images: 3}", data))).recipe.data[0]
    assert reader.model_dump()["columns"]["answer"] == "$answer"


@pytest.mark.parametrize("key", ["seed", "device", "localize", "weigh", "train.lora", "train.epochs", "data.images"])
def test_null_is_what_an_option_is_without_it(key: str, tmp_path: Path) -> None:
    path = write(tmp_path, FINE.replace("images: 3", "images: 200"))
    without = load_recipe(path, ["train={learning_rate: 1e-4}"]).recipe
    assert load_recipe(path, ["train={learning_rate: 1e-4}", f"{key}=null"]).recipe == without
    assert "'data' is missing" in mistakes(path, "data=null")[0]


UNUSED = {  # what is added to a recipe of ready pairs, or of cases, and what is said of it
    "localize": (
        "pairs",
        "localize: {use: annotated}\n",
        "nobody in 'disprefer:' makes more of them; leave 'localize' out",
    ),
    "rounds": ("pairs", "rounds: 2\ntrain: {}\n", "no round makes ready pairs anew"),
    "a scorer without pairs": (
        "cases",
        "disprefer: [{use: blank}]\nscore: [{use: detector-confidence}, {use: med-llm-vote}]\n",
        "'med-llm-vote' rates text pairs, and none is made",
    ),
    "agreement of one": ("cases", "localize: {use: annotated}\nlocalized: agreed\n", "'agreed' is about several"),
    "a budget": ("cases", "budget: {calls: 3}\n", "no part of this recipe calls an endpoint"),
    "a budget of rules": (
        "cases",
        "budget: {calls: 3}\ndisprefer: [{use: opposite-answer}]\nscore: [{use: med-llm-vote}]\n",
        "no part of this recipe calls an endpoint",
    ),
    "a price": (
        "cases",
        "budget: {calls: 3, prices: {gpt-5: {input: 1, output: 1}}}\n"
        "unrated: keep\ndisprefer: [{use: gpt4o-hallucination}]\n",
        "no part calls 'gpt-5'; those called: gpt-4o",
    ),
    "pairs to evaluate": (
        "cases",
        "evaluate: {data: {use: pairs, root: .}, measure: [{use: med-vqa}]}\n",
        "'pairs' reads ready pairs; 'evaluate' needs cases",
    ),
    "flipped pairs of nothing": (
        "cases",
        "unrated: keep\ndisprefer: [{use: lesion-noise, pairs: flipped}, {use: opposite-answer}]\n",
        "'lesion-noise' builds on text pairs",
    ),
    "a loss of no pair": (
        "cases",
        "disprefer: [{use: blank}]\nunrated: keep\ntrain: {loss: [{use: sigmoid}, {use: anchor, pairs: text}]}\n",
        "'anchor' is of text pairs, and none is made; leave it out",
    ),
    "seeds without variants": ("cases", "seeds: [1, 2]\n", "'seeds:' are for 'variants:'"),
}


@pytest.mark.parametrize("name", UNUSED)
def test_what_no_run_would_use_is_refused_with_the_reason(name: str, tmp_path: Path) -> None:
    kind, added, message = UNUSED[name]
    data = "{use: mmedpo-json, root: .}" if kind == "pairs" else "{use: phantom, images: 2}"
    path = write(tmp_path, f"output: o\ndata: {data}\nbackbone: {{use: phantom}}\n{added}")
    with pytest.raises(RecipeError, match=re.escape(message)) as caught:
        load_recipe(path) if name != "seeds without variants" else plan_runs(path)
    assert len(str(caught.value).splitlines()) == 1


def test_released_pairs_and_a_dispreference_go_together(shared: Path) -> None:
    recipe = load_recipe(shared / "cases/paper/released_pairs_with_disprefer.yaml").recipe
    assert [reader.yields for reader in recipe.data] == ["pairs"]
    assert [maker.use for maker in recipe.disprefer] == ["global-noise"]
