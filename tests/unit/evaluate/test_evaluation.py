"""What a run says of its measures: whatever a metric could not measure, and whatever misleads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mmedpo.cli.display.result import show_result
from mmedpo.core.stage import Stage
from mmedpo.pipeline.run import RunResult, run_recipe
from mmedpo.recipe.loading import load_recipe
from mmedpo.store.run_files.reader import read_pairs, read_run

RECIPE = """
output: {folder}/run
data: {{use: phantom, images: 2}}
backbone: {{use: phantom}}
disprefer: [{{use: opposite-answer}}]
unrated: keep
evaluate:
  data: {{use: csv, file: {folder}/cases.csv, images: {folder}, restricted: false}}
  measure: [{{use: med-vqa}}, {{use: findings}}, {{use: report-text}}]
  confidence: true
  max_new_tokens: 1
"""


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    from PIL import Image

    folder = tmp_path_factory.mktemp("evaluated")
    Image.new("L", (56, 56), 80).save(folder / "film.png")
    rows = ["image,question,answer", "film.png,Is there a nodule?,no", "film.png,Is there an effusion?,yes"]
    (folder / "cases.csv").write_text("\n".join(rows) + "\n")
    (folder / "recipe.yaml").write_text(RECIPE.format(folder=folder))
    return run_recipe(load_recipe(folder / "recipe.yaml"), lambda event: None)


def test_a_metric_without_cases_says_so_and_why(done: RunResult, capsys: pytest.CaptureFixture[str]) -> None:
    assert done.measures
    found = {one.use: one for one in done.measures.measures}
    assert found["report-text"].before == {}
    assert found["report-text"].nothing == (
        "nothing to measure among 2 cases (2 closed): it counts cases of kind report"
    )
    assert not found["med-vqa"].nothing
    show_result(done)
    printed = " ".join(capsys.readouterr().out.split())
    assert "findings: nothing to measure among 2 cases (2 closed): it counts cases of kind report whose" in printed
    assert "│ bleu" not in printed


def test_confidence_is_measured_and_kept_case_by_case(done: RunResult) -> None:
    assert done.measures
    (found,) = (one.before for one in done.measures.measures if one.use == "confidence")
    rows = [row.statistics["confidence"][0] for row in read_run(done.folder).answers()]
    assert [row["yes"] for row in rows] == [0, 1]
    assert found["closed_auroc"] == float(rows[1]["leaning"] > rows[0]["leaning"])
    assert found["yes_no_count"] == 2
    assert "Share of yes by p(yes)" in Path(done.report).read_text()


def test_the_report_says_it_too(done: RunResult) -> None:
    assert "report-text: nothing to measure among 2 cases" in Path(done.report).read_text()


def test_measures_are_json_that_every_reader_takes(done: RunResult) -> None:
    text = (done.folder / "measures.json").read_text()
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def test_answers_that_were_cut_are_counted_marked_and_said(done: RunResult, capsys: pytest.CaptureFixture[str]) -> None:
    cut = sum(row.cut[0] for row in read_run(done.folder).answers())
    assert done.measures
    assert done.measures.cut == {"before": cut}
    assert cut > 0, "an answer of this model takes more than one token"
    assert done.run.stage("evaluate").total("cut_before") == cut
    show_result(done)
    told = f"of 2 answers each were cut at evaluate.max_new_tokens=1: {cut} before"
    assert told in " ".join(capsys.readouterr().out.split())
    assert told in Path(done.report).read_text()


def test_a_rejected_sample_that_was_cut_is_marked_and_counted(tmp_path: Path) -> None:
    recipe = RECIPE.replace("{{use: opposite-answer}}", "{{use: self-hallucination, max_new_tokens: 1, least: 0.01}}")
    (tmp_path / "recipe.yaml").write_text(recipe.partition("evaluate:")[0].format(folder=tmp_path))
    found = run_recipe(load_recipe(tmp_path / "recipe.yaml"), lambda event: None, until=Stage.WEIGH)
    marked = [item.pair for item in read_pairs(found.folder) if item.pair.notes.get("cut")]
    assert found.run.stage("disprefer").total("cut_answers") == len(marked) > 0
