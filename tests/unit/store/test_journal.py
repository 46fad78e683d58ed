"""The journal keeps results by what they depend on, and images by their pixels."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image

from mmedpo import DataError, ImageRef
from mmedpo.core.records import from_json, to_json
from mmedpo.registry.content_hash import hash_path
from mmedpo.registry.fingerprint import content_json, hash_source
from mmedpo.store.journal import Journal
from mmedpo.testing import tiny_cases, tiny_pairs


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal.sqlite")


def test_what_is_put_is_got_by_another_process_too(journal: Journal) -> None:
    journal.put("key", {"a": [1, "é", None]})
    assert Journal(journal.path).get("key") == {"a": [1, "é", None]}
    assert journal.get("other") is None


def test_it_is_readable_by_its_owner_alone(journal: Journal) -> None:
    assert os.stat(journal.path).st_mode & 0o077 == 0


def test_another_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database, but long enough to be mistaken for one" * 20)
    with pytest.raises(DataError, match=r"notes\.txt"):
        Journal(path)


def test_a_drawn_picture_gets_a_lossless_file_named_by_its_pixels(journal: Journal) -> None:
    drawn = tiny_cases(1)[0].image
    kept = journal.adopt(drawn)
    journal.settle()
    assert Path(kept.path).name == f"{drawn.sha256}.png"
    assert kept.load().tobytes() == drawn.load().tobytes()
    assert kept == drawn


def test_a_file_that_changes_gets_another_hash(journal: Journal, tmp_path: Path) -> None:
    path = tmp_path / "film.png"
    Image.new("L", (8, 8), 10).save(path)
    first = journal.adopt(ImageRef.at(path))
    assert journal.adopt(ImageRef.at(path)) == first
    Image.new("L", (8, 9), 10).save(path)
    assert journal.adopt(ImageRef.at(path)) != first


def test_equal_pixels_are_equal_pictures_whatever_the_file(journal: Journal, tmp_path: Path) -> None:
    for name in ("a.png", "b.tiff"):
        Image.new("L", (8, 8), 77).save(tmp_path / name)
    assert journal.adopt(ImageRef.at(tmp_path / "a.png")) == journal.adopt(ImageRef.at(tmp_path / "b.tiff"))


def test_a_deferred_picture_is_drawn_once_and_again_when_its_file_is_gone(journal: Journal) -> None:
    drawn = []
    deferred = ImageRef.deferred(lambda: drawn.append(1) or Image.new("L", (4, 4), 9), "film 7")
    first = journal.adopt(deferred)
    assert Journal(journal.path).adopt(deferred) == first
    assert len(drawn) == 1
    Path(first.path).unlink()
    assert journal.adopt(deferred).load().getpixel((0, 0)) == 9
    assert len(drawn) == 2


def test_records_survive_json_and_content_forgets_paths(journal: Journal) -> None:
    for pair in [*tiny_pairs("text"), *tiny_pairs("image")]:
        value = to_json(pair)
        assert from_json(type(pair), value) == pair
        assert "path" not in str(content_json(pair))


def test_a_folders_hash_depends_on_names_and_content_only(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "weights.bin").write_bytes(b"w" * 100)
    assert hash_path(str(tmp_path / "one")) == hash_path(str(tmp_path / "two"))
    (tmp_path / "two" / "weights.bin").write_bytes(b"w" * 99 + b"x")
    assert hash_path(str(tmp_path / "one")) != hash_path(str(tmp_path / "two"))


def test_a_parts_source_includes_what_it_imports_of_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "acme"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "words.py").write_text("WORDS = 1\n")
    (package / "part.py").write_text(
        "from mmedpo import Metric\ndef f():\n    import acme.words\nclass P(Metric):\n    use = 'p'\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    first = hash_source.__wrapped__("acme.part")
    (package / "words.py").write_text("WORDS = 2\n")
    assert hash_source.__wrapped__("acme.part") != first
