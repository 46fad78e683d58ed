"""What the stages say of the pairs they made."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from mmedpo import Case, ImageRef, Pair, Side
from mmedpo.core.stage import Stage
from mmedpo.curate.dispreference import pair_content
from mmedpo.pipeline.run import run_recipe
from mmedpo.recipe.loading import load_recipe
from mmedpo.store.run_files.reader import read_pairs, read_run
from mmedpo.store.run_files.record import StageSummary

RECIPE = """
output: {folder}/run
data: {{use: phantom, images: 8}}
backbone: {{use: phantom}}
disprefer: [{{use: self-hallucination, samples: 2}}, {{use: lesion-noise}}]
unrated: keep
"""
FILM, NOISED = ImageRef(sha256="film"), ImageRef(sha256="noised")
PAIR = Pair(Case("c", FILM, "Is there a nodule?", "Yes"), Side(FILM, "Yes"), Side(FILM, "No"), "text", "one")


MAKERS = ("self-hallucination", "opposite-answer")


def flow(folder: Path, *overrides: str) -> StageSummary:
    path = folder / "recipe.yaml"
    path.write_text(RECIPE.format(folder=folder))
    run_recipe(load_recipe(path, overrides), lambda event: None, until=Stage.WEIGH)
    return read_run(folder / "run").run.stage("disprefer")


@pytest.mark.slow
def test_a_pair_that_two_dispreferences_made_is_told_and_kept(tmp_path: Path) -> None:
    before = flow(tmp_path)
    assert not before.total("repeated_pairs")
    counts = flow(tmp_path, "disprefer.2={use: opposite-answer}", "disprefer.3={use: lesion-noise}")
    pairs = [item.pair for item in read_pairs(tmp_path / "run")]
    wrong = {maker: {(p.case.id, p.rejected.answer) for p in pairs if p.made_by == maker} for maker in MAKERS}
    both = len(wrong["self-hallucination"] & wrong["opposite-answer"])
    assert both > 0
    assert counts.total("repeated_pairs", kind="text") == both
    assert counts.total("repeated_pairs", kind="image") == before.total("pairs", part="lesion-noise") > 0
    assert len(pairs) == counts.total("pairs")


def test_pairs_are_counted_by_the_step_that_hides(tmp_path: Path) -> None:
    hiding = "disprefer={use: hiding-noise, tries: 2, never: greatest, kinds: [closed]}"
    counts = flow(tmp_path, "data.images=2", hiding)
    pairs = [item.pair for item in read_pairs(tmp_path / "run")]
    told = {one.reason: one.count for one in counts.counts if one.what == "tallied_pairs"}
    assert told == Counter(pair.notes["tally"] for pair in pairs) != {}


@pytest.mark.parametrize("answer", ["No", " no\n", "NO"])
def test_pairs_are_the_same_up_to_case_and_white_space(answer: str) -> None:
    assert pair_content(replace(PAIR, rejected=Side(FILM, answer), made_by="other", number=3)) == pair_content(PAIR)


@pytest.mark.parametrize(
    "change",
    [
        {"rejected": Side(FILM, "No nodule")},
        {"rejected": Side(NOISED, "No")},
        {"chosen": Side(NOISED, "Yes")},
        {"chosen": Side(FILM, "Yes, one")},
        {"kind": "image"},
        {"case": replace(PAIR.case, id="d")},
    ],
)
def test_pairs_that_differ_in_anything_else_are_two(change: dict[str, object]) -> None:
    assert pair_content(replace(PAIR, **change)) != pair_content(PAIR)  # type: ignore[arg-type]


def test_films_that_show_one_single_grey_are_counted_every_time_the_data_are_read(tmp_path: Path) -> None:
    for name, greys in (("a.png", [0, 255]), ("b.png", [90, 90]), ("c.tiff", [7, 7])):
        film = Image.new("L", (2, 1))
        film.putdata(greys)
        film.save(tmp_path / name)
    rows = [f"{name},Is there a nodule?,Yes" for name in ("a.png", "b.png", "c.tiff", "b.png")]
    (tmp_path / "t.csv").write_text("\n".join(["image,question,answer", *rows]))
    recipe = {
        "output": "{folder}/run",
        "data": {"use": "csv", "file": "{folder}/t.csv"},
        "backbone": {"use": "phantom"},
    }
    recipe |= {"backbone": {"use": "phantom"}, "disprefer": [{"use": "opposite-answer"}], "unrated": "keep"}
    (tmp_path / "recipe.yaml").write_text(json.dumps(recipe).replace("{folder}", str(tmp_path)))
    for _ in range(2):
        run_recipe(load_recipe(tmp_path / "recipe.yaml"), lambda event: None, until=Stage.READ)
        assert read_run(tmp_path / "run").run.stage("read").total("blank_images") == 3


def test_every_case_that_gives_no_pair_is_written_down_with_the_reason(tmp_path: Path) -> None:
    Image.linear_gradient("L").save(tmp_path / "a.png")
    rows = ["a.png,Is there a nodule?,Yes", "b.png,Is there a nodule?,No", "a.png,Where is it?,On the left"]
    (tmp_path / "t.csv").write_text("\n".join(["image,question,answer", *rows]))
    recipe = f"output: {tmp_path}/run\ndata: {{use: csv, file: {tmp_path}/t.csv, missing: skip}}\n"
    recipe += "backbone: {use: phantom}\ndisprefer: [{use: opposite-answer}, {use: global-noise, kinds: [open], "
    recipe += "without_region: noise}]\nunrated: drop\nscore: [{use: med-llm-vote}, {use: detector-confidence}]\n"
    (tmp_path / "recipe.yaml").write_text(recipe)
    run_recipe(load_recipe(tmp_path / "recipe.yaml"), lambda event: None, until=Stage.WEIGH)
    told = [(one.stage, one.part, one.pairs, one.reason, one.question) for one in read_run(tmp_path / "run").dropped()]
    assert told == [
        ("read", "csv", "", "the image is missing", ""),
        ("disprefer", "opposite-answer", "text", "the question is not closed", "Where is it?"),
        ("disprefer", "global-noise", "image", "kinds names no closed cases", "Is there a nodule?"),
        ("weigh", "global-noise", "image", "nobody rated its pair", "Where is it?"),
    ]
    assert all(one.restricted for one in read_run(tmp_path / "run").dropped())
