"""Images that a data file names are taken from their folder and from nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmedpo import DataError, Drop, ImageFolder, Row

ROW = Row("vqa.csv:7", {})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "images" / "deep").mkdir(parents=True)
    for name in ("secret.png", "images/a.png", "images/deep/b.png"):
        (tmp_path / name).touch()
    return tmp_path / "images"


@pytest.mark.parametrize(
    "name", ["../secret.png", "../../etc/passwd", "deep/../../secret.png", "/etc/passwd", r"..\secret.png", "C:/x.png"]
)
def test_an_image_outside_the_folder_is_refused_with_its_row(folder: Path, name: str) -> None:
    with pytest.raises(DataError, match=r"^vqa\.csv:7: the image .* is outside the folder"):
        ImageFolder([folder], missing="skip").find(name, ROW)


def test_a_link_that_leads_out_of_the_folder_is_refused(folder: Path) -> None:
    (folder / "film.png").symlink_to(folder.parent / "secret.png")
    (folder / "away").symlink_to(folder.parent)
    for name in ("film.png", "away/secret.png"):
        with pytest.raises(DataError, match=r"^vqa\.csv:7: the image .* is a link that leads out of"):
            ImageFolder([folder]).find(name, ROW)


def test_a_link_within_the_folder_and_a_folder_that_is_a_link_are_taken(folder: Path, tmp_path: Path) -> None:
    (folder / "film.png").symlink_to(folder / "a.png")
    (tmp_path / "elsewhere").symlink_to(folder)
    assert ImageFolder([tmp_path / "elsewhere"]).find("film.png", ROW) == tmp_path / "elsewhere/film.png"


def test_folders_are_searched_in_order(folder: Path) -> None:
    both = ImageFolder([folder / "deep", folder])
    assert both.find("b.png", ROW) == folder / "deep/b.png"
    assert both.find("a.png", ROW) == folder / "a.png"


def test_missing_images_are_named_before_anything_is_yielded(folder: Path) -> None:
    images = ImageFolder([folder])
    names = ["a.png", "0.png", "1.png", "1.png", "2.png", "3.png"]
    with pytest.raises(DataError, match=r"no image 0\.png, 1\.png, 2\.png and 1 more; .*data\.missing=skip"):
        next(images.complete(images.find(name, ROW) for name in names))


def test_missing_images_are_left_out_where_the_recipe_says_so(folder: Path) -> None:
    images = ImageFolder([folder], missing="skip")
    items = (images.find(name, ROW) or images.drop(name) for name in ("0.png", "a.png"))
    assert list(images.complete(items)) == [Drop("0.png", "the image is missing"), folder / "a.png"]


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere: there is no such folder"):
        ImageFolder([tmp_path / "nowhere"])
