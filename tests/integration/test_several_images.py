"""Cases of several images from a table to the report: in pairs, in training, in answers; noise where the lesion is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Mmedpo
from mmedpo_plugins.readers.pairs.pairs import PairsReader
from PIL import Image
from tiny_hf_vlm import write_idefics3

from mmedpo import Pair, read_run
from mmedpo.cli.ask import ask_models
from mmedpo.core.images import hash_pixels
from mmedpo.core.stage import Stage
from mmedpo.errors import RecipeError
from mmedpo.exchange.formats import FORMATS
from mmedpo.exchange.pairs_io import export_run
from mmedpo.pipeline.run import run_recipe
from mmedpo.recipe.loading import load_recipe

RECIPE = """
output: run
data: {use: jsonl, file: train.jsonl}
backbone: {use: hf-vlm, checkpoint: model}
localize: {use: annotated}
disprefer: [{use: opposite-answer}, {use: lesion-noise}]
unrated: keep
train: {epochs: 1, batch_size: 4, validation: 0.25, lora: {r: 2, alpha: 4}}
evaluate: {data: {use: jsonl, file: test.jsonl}, measure: [{use: med-vqa}], probe: [{use: swap}], attention: 0}
"""
STUDIES = 8


def write_films(folder: Path, name: str, first: int) -> None:
    """Write a table of studies, each with a frontal film and, but for every fourth, a lateral one with the lesion."""
    rows = []
    for number in range(first, first + STUDIES):
        draw = np.random.default_rng(number)
        for view in ("frontal", "lateral"):
            pixels = draw.integers(0, 256, (40, 40), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}_{view}.png")
        films = [f"{number}_frontal.png", f"{number}_lateral.png"][: 1 if number % 4 == 0 else 2]
        box = {"label": "nodule", "box": [8, 8, 20, 20], "image": len(films) - 1}
        rows.append({"image": films, "question": "is there a nodule?", "answer": "yes", "boxes": [box]})
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("several")
    write_idefics3(folder / "model")
    write_films(folder, "train.jsonl", 0)
    write_films(folder, "test.jsonl", 100)
    (folder / "recipe.yaml").write_text(RECIPE)
    return folder


@pytest.fixture(scope="module")
def run(folder: Path) -> Path:
    """Return the folder of a run of the recipe."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run_recipe(load_recipe(folder / "recipe.yaml"), lambda event: None)
    return folder / "run"


def pairs_of(run: Path, kind: str) -> list[Pair]:
    return [item.pair for item in read_run(run).pairs() if item.pair.kind == kind]


def test_pairs_show_all_images_of_their_case_and_noise_is_in_the_one_with_the_lesion(run: Path) -> None:
    noised = pairs_of(run, "image")
    assert len(noised) == STUDIES
    for pair in noised:
        *whole, changed = zip(pair.chosen.images, pair.rejected.images, strict=True)
        assert pair.chosen.images == pair.case.images
        assert all(one == other for one, other in whole)
        before, after = (np.asarray(image.load()) for image in changed)
        rows, columns = np.nonzero(before != after)
        assert 8 <= min(rows.min(), columns.min()) <= max(rows.max(), columns.max()) < 20
    assert sorted({len(pair.case.images) for pair in noised}) == [1, 2]
    assert all(pair.chosen.images == pair.rejected.images == pair.case.images for pair in pairs_of(run, "text"))


def test_training_and_answers_read_all_images(run: Path) -> None:
    files = read_run(run)
    assert files.training is not None
    assert files.training.packing == "tree"
    answered = list(files.answers())
    assert sorted(len(row.more_images) for row in answered) == [0, 0, 1, 1, 1, 1, 1, 1]
    assert all(Path(image.path).exists() for row in answered for image in (row.image, *row.more_images))
    lines = [json.loads(line) for line in (run / "answers.jsonl").read_text().splitlines()]
    assert sum("more_images" in line for line in lines) == 6  # left out where there is one image


def test_the_same_recipe_again_finds_all_done(run: Path, folder: Path, mmedpo: Mmedpo) -> None:
    before = (run / "pairs.jsonl").read_text()
    done = mmedpo("run", "recipe.yaml", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "Nothing to do" in done.stdout
    assert (run / "pairs.jsonl").read_text() == before


Told = tuple[str, tuple[str, ...], tuple[str, ...], tuple[str, ...], tuple[int, ...]]


def tell(pair: Pair) -> Told:
    """Return a pair's images by their pixels, and in which of them its case's regions lie."""
    shown = (pair.case, pair.chosen, pair.rejected)
    case, chosen, rejected = (tuple(hash_pixels(image.load()) for image in one.images) for one in shown)
    return pair.id, case, chosen, rejected, tuple(region.image for region in pair.case.regions)


@pytest.mark.parametrize("form", ["trl", "ms-swift", "llama-factory", "parquet"])
def test_pairs_travel_with_all_their_images_and_come_back(run: Path, tmp_path: Path, form: str) -> None:
    done = export_run(run, form, tmp_path / "out")
    back = [tell(item) for item in PairsReader(root=tmp_path / "out").read() if isinstance(item, Pair)]
    kinds = ("text", "image") if FORMATS[form].two_images else ("text",)
    assert sorted(back) == sorted(tell(pair) for kind in kinds for pair in pairs_of(run, kind))
    assert done.left_out == (0 if len(kinds) == 2 else STUDIES)
    assert len(list((tmp_path / "out").rglob("*.png"))) == 14 + (STUDIES if len(kinds) == 2 else 0)


def test_a_form_of_one_image_leaves_out_pairs_of_several_and_says_so(run: Path, tmp_path: Path) -> None:
    done = export_run(run, "mmedpo-json", tmp_path / "out")
    assert "12 of 16 pairs are left out: they show several images, and MMedPO's code shows one" in done.notes
    assert done.pairs == {"image": 2, "text": 2}


def test_datasets_loads_a_column_of_images_of_each_row(run: Path, tmp_path: Path) -> None:
    import datasets

    export_run(run, "parquet", tmp_path / "out")
    data = datasets.load_dataset(str(tmp_path / "out"), split="train", cache_dir=str(tmp_path / "cache"))
    assert sorted({len(row["images"]) for row in data}) == [0, 2]
    assert data[0]["image"].size == (40, 40)


SHOWN_ONE = "is shown one; read one view a case, or name a backbone that takes several"


def test_a_runs_model_is_asked_about_several_images(
    run: Path, folder: Path, mmedpo: Mmedpo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    films = [folder / f"100_{view}.png" for view in ("frontal", "lateral")]
    done = mmedpo("ask", run, films[0], "is there?", "--image", films[1], "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    both = json.loads(done.stdout)
    assert both.keys() == {"before", "after"}
    assert both != ask_models(run, films[:1], "is there?")


def test_a_backbone_that_is_shown_one_image_refuses_data_with_several(folder: Path, mmedpo: Mmedpo) -> None:
    for command in ("check", "run"):
        done = mmedpo(command, "recipe.yaml", "backbone={use: phantom}", "output=other", cwd=folder)
        assert done.returncode == 2
        assert f"'jsonl' reads several images a case here, and the backbone 'phantom' {SHOWN_ONE}" in " ".join(
            done.stderr.split()
        )


def test_it_refuses_them_too_where_only_a_later_row_has_several(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setattr("mmedpo_plugins.readers.tables.LOOKED_AT", 1)
    late: list[Any] = [f"output={tmp_path / 'out'}", "backbone={use: phantom}", "evaluate=null"]
    with pytest.raises(RecipeError, match="has 2 images, and the backbone 'phantom' is shown one"):
        run_recipe(load_recipe(folder / "recipe.yaml", late), lambda event: None, until=Stage.TRAIN)
