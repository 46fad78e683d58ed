"""What a run says of its measures: whatever a metric could not measure, and whatever misleads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mmedpo.display import show_result
from mmedpo.pipeline import Result, run
from mmedpo.recipe import load_recipe

RECIPE = """
output: {folder}/run
data: {{use: phantom, images: 2}}
backbone: {{use: phantom}}
disprefer: [{{use: opposite-answer}}]
unrated: keep
evaluate:
  data: {{use: csv, file: {folder}/cases.csv, images: {folder}, restricted: false}}
  measure: [{{use: med-vqa}}, {{use: findings}}, {{use: report-text}}]
  max_new_tokens: 2
"""


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Result:
    from PIL import Image

    folder = tmp_path_factory.mktemp("evaluated")
    Image.new("L", (56, 56), 80).save(folder / "film.png")
    rows = ["image,question,answer", "film.png,Is there a nodule?,no", "film.png,Is there an effusion?,yes"]
    (folder / "cases.csv").write_text("\n".join(rows) + "\n")
    (folder / "recipe.yaml").write_text(RECIPE.format(folder=folder))
    return run(load_recipe(folder / "recipe.yaml"), lambda event: None)


def test_a_metric_without_cases_says_so_and_why(done: Result, capsys: pytest.CaptureFixture[str]) -> None:
    found = {one["use"]: one for one in done.measures["measures"]}
    assert found["report-text"]["before"] == {}
    assert found["report-text"]["nothing"] == (
        "nothing to measure among 2 cases (2 closed): it counts cases of kind report"
    )
    assert "nothing" not in found["med-vqa"]
    show_result(done)
    printed = " ".join(capsys.readouterr().out.split())
    assert "findings: nothing to measure among 2 cases (2 closed): it counts cases of kind report whose" in printed
    assert "│ bleu" not in printed


def test_the_report_says_it_too(done: Result) -> None:
    assert "report-text: nothing to measure among 2 cases" in Path(done.report).read_text()


def test_measures_are_json_that_every_reader_takes(done: Result) -> None:
    text = (done.folder / "measures.json").read_text()
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
