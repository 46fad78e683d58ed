"""Images that a data file names are taken from their folder and from nowhere else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mmedpo import DataError, Drop
from mmedpo.data import ImageFolder, TableRow

ROW = TableRow("vqa.csv:7", {})


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


def told(images: ImageFolder, name: str) -> str:
    """Return what a reader says of a row that names this image."""
    with pytest.raises(DataError) as error:
        next(images.complete([images.find(name, ROW)]))
    return str(error.value)


@pytest.mark.parametrize(
    "name", ["x" * 400 + ".png", "deep/" * 900 + "a.png", "\ud800.png", "a\0.png", "a.png/b.png", "deep", "."]
)
def test_a_name_that_no_file_can_have_is_a_missing_image_of_bearable_length(folder: Path, name: str) -> None:
    assert told(ImageFolder([folder]), name).startswith("vqa.csv:7: ")
    assert len(told(ImageFolder([folder]), name)) < 700
    assert ImageFolder([folder], missing="skip").find(name, ROW) is None


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("data:image/png;base64," + "iVBOR" * 99, "holds the image itself"),
        ("https://example.org/films/a.png", "is an address"),
        ("s3://bucket/a.png", "is an address"),
    ],
)
def test_an_address_in_place_of_a_file_is_named_as_such(folder: Path, name: str, what: str) -> None:
    assert f"{what} and names no file: save such images there" in told(ImageFolder([folder]), name)
    assert len(told(ImageFolder([folder]), name)) < 700
    images = ImageFolder([folder], missing="skip")
    (dropped,) = images.complete([images.find(name, ROW) or images.drop(name)])
    assert dropped.reason == "the image is missing"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("A.PNG", "a.png"),
        ("b.png", "deep/b.png"),
        ("films/deep/b.png", "deep/b.png"),
        ("a.jpg", "a.png"),
        ("a", "a.png"),
        (r"deep\b.png", "deep/b.png"),
        ("Ro\u0308ntgen.png", "R\u00f6ntgen.png"),
        ("R%C3%B6ntgen.png", "R\u00f6ntgen.png"),
    ],
)
def test_a_name_that_is_nearly_right_is_told_the_right_one(folder: Path, name: str, meant: str) -> None:
    (folder / "R\u00f6ntgen.png").touch()
    assert f"did you mean {meant!r}" in told(ImageFolder([folder]), name)


def test_an_absolute_name_within_the_folder_is_told_the_relative_one(folder: Path) -> None:
    with pytest.raises(DataError, match=r"is outside .*did you mean 'deep/b\.png'"):
        ImageFolder([folder]).find(str(folder / "deep/b.png"), ROW)


def test_nothing_is_guessed_where_several_files_are_as_near(folder: Path) -> None:
    (folder / "other").mkdir()
    (folder / "other" / "b.png").touch()
    assert "did you mean" not in told(ImageFolder([folder]), "b.png")
    assert "did you mean 'other/b.png'" in told(ImageFolder([folder]), "films/other/b.png")


def test_the_snapshot_of_a_hub_cache_is_read_and_nothing_else_that_lies_beside_it(tmp_path: Path) -> None:
    home = tmp_path / "datasets--me--films"
    snapshot = home / "snapshots" / "0123abc"
    for place in (snapshot / "images", home / "blobs", home / "refs"):
        place.mkdir(parents=True)
    (home / "blobs" / "f00").touch()
    (home / "refs" / "main").touch()
    (snapshot / "images" / "a.png").symlink_to("../../../blobs/f00")
    (snapshot / "images" / "b.png").symlink_to("../../../refs/main")
    for root, name in ((snapshot, "images/a.png"), (snapshot / "images", "a.png")):
        assert ImageFolder([root]).find(name, ROW) == root / name
    with pytest.raises(DataError, match="is a link that leads out of"):
        ImageFolder([snapshot]).find("images/b.png", ROW)


def test_a_pipe_and_a_link_to_itself_are_refused_and_not_waited_for(folder: Path) -> None:
    os.mkfifo(folder / "pipe.png")
    (folder / "loop.png").symlink_to("loop.png")
    for name, why in (("pipe.png", "is no file but a pipe"), ("loop.png", "cannot be looked at")):
        with pytest.raises(DataError, match=rf"^vqa\.csv:7: the image '{name}' {why}"):
            ImageFolder([folder], missing="skip").find(name, ROW)
