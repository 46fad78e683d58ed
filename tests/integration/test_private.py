"""What a run of restricted data writes is its owner's alone; what it writes of public data has ordinary modes."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from raters import write_ratings as rate_nothing

from mmedpo.core.privacy import close_to_others, private_files
from mmedpo.core.stage import Stage
from mmedpo.evaluate.clinicians.comparison import compare_with_clinicians
from mmedpo.exchange.model_export import merge_run
from mmedpo.exchange.pairs_io import export_run
from mmedpo.exchange.sqlite.run_database import export_database
from mmedpo.pipeline.run import run_recipe
from mmedpo.recipe.loading import load_recipe
from mmedpo.report.page import write_ratings, write_report
from mmedpo.review.page import ReviewOptions, write_review
from mmedpo.store.run_folder import write_folder_whole, write_text

pytestmark = pytest.mark.slow  # whole runs

RECIPE = """
output: runs/x
data: {use: phantom, split: train, images: 2, restricted: RESTRICTED}
backbone: {use: phantom}
disprefer: [{use: lesion-noise}]
score: [{use: detector-confidence}]
train: {epochs: 1, batch_size: 4, lora: {r: 2, alpha: 4}, checkpoint_every: 1, report_to: [tensorboard]}
evaluate: {data: {use: phantom, split: test, images: 2}, measure: [{use: med-vqa}], max_new_tokens: 2}
"""


def finished(folder: Path, restricted: bool, until: Stage = Stage.EVALUATE) -> Path:
    """Carry out a small recipe, export what it made, and return the folder that holds all."""
    path = folder / "recipe.yaml"
    folder.mkdir(parents=True)
    path.write_text(RECIPE.replace("RESTRICTED", str(restricted).lower()))
    os.chmod(path, 0o600)
    loaded = load_recipe(path, [f"output={folder / 'runs' / 'x'}"])
    before = os.umask(0o022)
    (folder / "tmp").mkdir(mode=0o700)
    try:
        made = run_recipe(loaded, lambda event: None, until=until).folder
        for form in ("mmedpo-json", "parquet", *(["peft"] if until == "evaluate" else [])):
            export_run(made, form, folder / form)
        if until == "evaluate":
            merge_run(made, folder / "merged")
        export_database(made, folder / "run.sqlite")
        write_report([made, made], folder / "both.html")
        write_review(made, folder / "review.html", ReviewOptions(with_images=True))
        ratings = rate_nothing(folder.with_suffix(".csv"), [])
        rated = compare_with_clinicians(made, [ratings])
        write_ratings(made, rated, folder / "ratings.html")
    finally:
        assert os.umask(before) == 0o022  # what ran before in this process goes on as it was
    return folder


def modes(folder: Path) -> Iterator[tuple[str, int]]:
    for path in sorted(folder.rglob("*")):
        yield str(path.relative_to(folder)), path.stat().st_mode & 0o777


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("closed") / "a"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(folder / "tmp"))
        patch.setenv("TMPDIR", str(folder / "tmp"))
        yield finished(folder, restricted=True)


def test_all_that_comes_of_restricted_data_is_its_owners_alone(closed: Path) -> None:
    found = dict(modes(closed))
    assert [name for name, mode in found.items() if mode & 0o077 and name != "runs"] == []
    assert {"run.sqlite", "review.html", "ratings.html", "both.html", "merged/config.json"} < found.keys()


def test_what_comes_of_public_data_has_ordinary_modes(tmp_path: Path) -> None:
    found = dict(modes(finished(tmp_path / "b", restricted=False, until=Stage.WEIGH)))
    for name in ("runs/x/pairs.jsonl", "runs/x/report.html", "mmedpo-json/README.md", "both.html"):
        assert found[name] == 0o644, name
    assert found["runs/x"] == found["runs/x/images"] == found["mmedpo-json"] == 0o755
    assert found["runs/journal.sqlite"] == 0o600


def test_a_folder_of_an_open_run_is_closed_by_the_next_run_of_restricted_data(closed: Path, tmp_path: Path) -> None:
    folder = closed / "runs" / "x"
    for path in (folder, folder / "pairs.jsonl", folder / "adapter"):
        os.chmod(path, 0o755)
    run_recipe(load_recipe(closed / "recipe.yaml", [f"output={folder}"]), lambda event: None, until=Stage.READ)
    assert [name for name, mode in modes(closed) if mode & 0o077 and name != "runs"] == []


def test_a_record_that_says_it_is_restricted_closes_the_folder_of_an_open_reader(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    Image.new("L", (16, 16), 90).save(tmp_path / "data" / "a.png")
    rows = [{"image": "a.png", "question": f"{n}?", "answer": "yes", "restricted": n == 1} for n in range(2)]
    (tmp_path / "data" / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        f"output: {tmp_path}/runs/y\n"
        f"data: {{use: jsonl, file: {tmp_path}/data/rows.jsonl, images: {tmp_path}/data, restricted: false}}\n"
        "backbone: {use: phantom}\n"
    )
    folder = run_recipe(load_recipe(recipe), lambda event: None, until=Stage.READ).folder
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "run.json").stat().st_mode & 0o777 == 0o600


def test_links_are_not_followed_and_a_private_time_ends(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    write_text(elsewhere, "open")
    os.chmod(elsewhere, 0o644)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "link").symlink_to(elsewhere)
    close_to_others(tmp_path / "run")
    assert elsewhere.stat().st_mode & 0o777 == 0o644
    with private_files():
        write_text(tmp_path / "mine", "")
        with write_folder_whole(tmp_path / "out") as partial:
            (partial / "a").write_text("")
    assert (tmp_path / "mine").stat().st_mode & 0o077 == (tmp_path / "out").stat().st_mode & 0o077 == 0
