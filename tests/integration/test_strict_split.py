"""No image may be measured that is trained on, where the recipe says so; elsewhere every table counts them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mmedpo.cli.main import app

RECIPE = """\
output: {folder}/out
data: {{use: phantom, images: 4, reports: 0, open_questions: 0}}
backbone: {{use: phantom}}
disprefer: [{{use: opposite-answer}}]
unrated: keep
train: {{epochs: 1, learning_rate: 1e-3, lora: {{r: 4, alpha: 8}}}}
evaluate:
  data: {{use: phantom, split: {split}, images: 6, reports: 0, open_questions: 0}}
  measure: [{{use: med-vqa}}]
  max_new_tokens: 4
  strict_split: {strict}
"""


def run(folder: Path, split: str, strict: str, *more: str, recipe: str = RECIPE) -> tuple[int, str]:
    path = folder / "recipe.yaml"
    path.write_text(recipe.format(folder=folder, split=split, strict=strict))
    done = CliRunner().invoke(app, ["run", str(path), *more])
    return done.exit_code, " ".join(done.output.split())


def test_a_strict_split_refuses_shared_images_before_any_pair_is_made(tmp_path: Path) -> None:
    code, said = run(tmp_path, "train", "true")
    assert code == 4
    assert "4 of 6 images that" in said
    assert "are also in the training data, the first is that of case 'phantom-train-00000-q0'" in said
    assert "disprefer" not in said
    assert not (tmp_path / "out" / "pairs.jsonl").exists()


def test_a_strict_split_of_other_images_goes_through(tmp_path: Path) -> None:
    code, said = run(tmp_path, "test", "true", "--until", "weigh")
    assert code == 0, said
    assert (tmp_path / "out" / "pairs.jsonl").exists()


@pytest.mark.slow
def test_by_default_every_table_says_how_many_images_were_trained_on(tmp_path: Path) -> None:
    code, said = run(tmp_path, "train", "false")
    assert code == 0, said
    assert "evaluated on 6 images; 4 of them were trained on" in said
    out = str(tmp_path / "out")
    compared = CliRunner().invoke(app, ["compare", out, out])
    assert "evaluated on 6 images; 4 of them were trained on" in " ".join(compared.output.split())
    variants = RECIPE + "variants: {{one: {{}}, two: {{weigh: {{use: uniform}}}}}}\n"
    code, said = run(tmp_path, "train", "false", recipe=variants)
    assert code == 0, said
    assert "all 2 runs: evaluated on 6 images; 4 of them were trained on" in said
    table = json.loads((tmp_path / "out" / "variants.json").read_text())
    assert [(one["method"], one["trained_on"]) for one in table["overlap"]] == [("one", 4), ("two", 4)]
