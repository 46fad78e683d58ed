"""Regions that data come with are those of their case, whichever other case shows the image."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from mmedpo.core.stage import Stage
from mmedpo.pipeline.run import run_recipe
from mmedpo.recipe.loading import load_recipe
from mmedpo.store.run_files.reader import read_run

RECIPE = """
output: {folder}/run
data: {{use: jsonl, file: {folder}/cases.jsonl}}
backbone: {{use: phantom}}
localize: {{use: annotated}}
disprefer: [{{use: lesion-noise}}]
unrated: keep
"""


def test_a_case_keeps_its_regions_where_another_of_its_image_has_none_and_the_image_counts_as_one_with(
    tmp_path: Path,
) -> None:
    for name in ("a", "b"):
        Image.fromarray(np.full((16, 16), ord(name), dtype=np.uint8)).save(tmp_path / f"{name}.png")
    asked = {"question": "Is there a nodule?", "answer": "Yes"}
    boxes = [{"label": "nodule", "box": [2, 2, 8, 8]}]
    rows = [{**asked, "image": "a.png", "boxes": boxes}, {**asked, "image": "a.png"}, {**asked, "image": "b.png"}]
    (tmp_path / "cases.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "recipe.yaml").write_text(RECIPE.format(folder=tmp_path))
    run_recipe(load_recipe(tmp_path / "recipe.yaml"), lambda event: None, until=Stage.WEIGH)
    counts = read_run(tmp_path / "run").run.stage("localize")
    assert [len(item.pair.case.regions) for item in read_run(tmp_path / "run").pairs()] == [1]
    assert [counts.total(what) for what in ("images", "regions", "images_without_region")] == [2, 1, 1]
