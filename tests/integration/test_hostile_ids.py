"""Whatever a case, a patient or a finding is called, nothing is written but where the recipe says."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from PIL import Image

from mmedpo.core.stage import Stage
from mmedpo.exchange.formats import FORMATS
from mmedpo.exchange.pairs_io import export_run
from mmedpo.exchange.sqlite.run_database import export_database
from mmedpo.pipeline.run import run_recipe
from mmedpo.recipe.loading import load_recipe
from mmedpo.review.page import ReviewOptions, write_review

NAMES = ("../../evil", "/tmp/evil", "a/../../../evil", "..", "C:\\evil", "evil\u0000", "\u202eevil", "x" * 3000)


@pytest.mark.slow
def test_no_id_is_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "a" / "b" / "c"
    (home / "data").mkdir(parents=True)
    rows = []
    for number, name in enumerate(NAMES):
        Image.new("L", (16, 16), 10 * number).save(home / "data" / f"{number}.png")
        row = {"id": name, "image": f"{number}.png", "question": f"Is there {name}?", "answer": "yes", "group": name}
        rows.append(json.dumps({**row, "boxes": [{"label": name, "box": [1, 1, 9, 9]}]}))
    (home / "data" / "rows.jsonl").write_text("\n".join(rows))
    (home / "recipe.yaml").write_text(
        "output: runs/x\n"
        "data: {use: jsonl, file: data/rows.jsonl, images: data, columns: {id: id, group: group}, restricted: false}\n"
        "backbone: {use: phantom}\n"
        "disprefer: [{use: opposite-answer}, {use: global-noise}]\n"
        "score: []\nunrated: keep\n"
    )
    monkeypatch.chdir(home)
    made = run_recipe(load_recipe(Path("recipe.yaml")), lambda event: None, until=Stage.WEIGH).folder
    for form in FORMATS:
        export_run(made, form, Path("out") / form)
    export_database(made, Path("out") / "run.sqlite", "content")
    write_review(made, Path("out") / "review.html", ReviewOptions())
    assert {path.name for path in home.iterdir()} == {"data", "recipe.yaml", "runs", "out"}
    assert [os.listdir(place) for place in (tmp_path, tmp_path / "a", tmp_path / "a" / "b")] == [["a"], ["b"], ["c"]]
    assert not [path for path in home.rglob("*") if "evil" in path.name or len(path.name) > 200]
