"""A run's images are found from whatever folder one looks; those that are gone are counted and said."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PIL import Image

from mmedpo.exchange.pairs_io import export_run
from mmedpo.pipeline.run import run_recipe
from mmedpo.recipe.loading import load_recipe
from mmedpo.report.page import write_report
from mmedpo.store.run_files.reader import read_pairs

RECIPE = """
output: runs/x
journal: kept/notes.sqlite
data: {use: csv, file: data/rows.csv, images: ROOT, restricted: false}
backbone: {use: phantom}
disprefer: [{use: opposite-answer}, {use: mirror}]
score: [{use: med-llm-vote}]
unrated: keep
"""
FILMS = 4


@pytest.fixture(params=["data/films", "images"])
def project(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Carry out a recipe with relative paths in its own folder, and go elsewhere."""
    place = tmp_path / "project"
    (place / request.param).mkdir(parents=True)
    (place / "data").mkdir(exist_ok=True)
    rows = ["image,question,answer"]
    for number in range(FILMS):
        film = Image.linear_gradient("L").rotate(20 * number + 20).resize((40, 40))
        film.save(place / request.param / f"{number}.png")
        rows.append(f"{number}.png,Is the left lung clear in film {number}?,yes")
    (place / "data" / "rows.csv").write_text("\n".join(rows) + "\n")
    (place / "recipe.yaml").write_text(RECIPE.replace("ROOT", request.param))
    monkeypatch.chdir(place)
    run_recipe(load_recipe(Path("recipe.yaml")), lambda event: None)
    (place / "runs/x/report.html").unlink()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    return place


def films(place: Path) -> list[Path]:
    return sorted(path for root in ("data/films", "images") for path in (place / root).glob("*.png"))


def gone(text: str) -> int:
    return text.count("no longer where the run found it")


def test_a_report_and_an_export_from_another_folder_have_every_image(project: Path, tmp_path: Path) -> None:
    assert gone(write_report([project / "runs/x"]).read_text()) == 0
    assert all(Path(item.pair.case.image.path).exists() for item in read_pairs(project / "runs/x"))
    assert export_run(project / "runs/x", "mmedpo-json", tmp_path / "out").left_out == 0


def test_they_are_found_when_the_whole_project_moved(project: Path, tmp_path: Path) -> None:
    moved = shutil.move(project, tmp_path / "moved")
    assert gone(write_report([moved / "runs/x"]).read_text()) == 0


def test_a_run_folder_that_moved_alone_finds_what_stayed(project: Path, tmp_path: Path) -> None:
    moved = shutil.move(project / "runs/x", tmp_path / "x")
    assert gone(write_report([moved]).read_text()) == 0


def test_a_file_of_that_name_in_this_folder_is_not_taken_for_it(project: Path) -> None:
    here = Path(films(project)[0].relative_to(project))
    here.parent.mkdir(parents=True)
    Image.new("L", (40, 40), 77).save(here)
    assert read_pairs(project / "runs/x")[0].pair.case.image.path != str(here)


@pytest.mark.slow
def test_images_that_are_gone_or_others_are_counted_and_said_until_they_are_back(
    project: Path, capsys: pytest.CaptureFixture
) -> None:
    kept = [path.read_bytes() for path in films(project)]
    films(project)[0].unlink()
    Image.new("L", (40, 40), 77).save(films(project)[0])
    text = write_report([project / "runs/x"]).read_text()
    assert "2 images are missing from the report" in text
    assert "2 images are missing from the report" in capsys.readouterr().err
    for number, content in enumerate(kept):
        root = films(project)[0].parent
        (root / f"{number}.png").write_bytes(content)
    assert gone(write_report([project / "runs/x"]).read_text()) == 0
