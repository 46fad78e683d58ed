"""A review page is one file that says nothing of what we think and holds what it may; none is too large."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from html import unescape
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from run_folder import HOSTILE, write_run

from mmedpo import DataError, RecipeError
from mmedpo.core.content_policy import hash_inline
from mmedpo.core.images import hash_pixels
from mmedpo.core.records import to_json
from mmedpo.review.page import ReviewOptions, require_sense, write_review
from mmedpo.store.run_files.reader import read_pairs

SECRETS = ("chosen", "rejected", "detector-confidence", "med-llm-vote", "tiny-", "made_by", "/noise/", "/wrong/")


def restrict(run: Path) -> Path:
    """Make all pairs of a run those of restricted data."""
    path = run / "pairs.jsonl"
    path.write_text(path.read_text().replace('"restricted": false', '"restricted": true'))
    return run


def content(page: Path) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="review">(.*?)</script>', page.read_text())
    assert found
    result: dict[str, Any] = json.loads(found.group(1))
    return result


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "run", pairs=12)


@pytest.fixture(scope="module")
def page(run: Path) -> Path:
    write_review(run, run.parent / "review.html", ReviewOptions())
    return run.parent / "review.html"


def test_nothing_on_the_page_says_how_a_pair_was_made_or_which_side_is_chosen(page: Path) -> None:
    text = page.read_text()
    assert [secret for secret in SECRETS if secret in text] == []
    orders = {pair["sides"][0]["answer"] in ("Yes", "In the left upper lobe.") for pair in content(page)["pairs"]}
    assert orders == {True, False}
    codes = [pair["code"] for pair in content(page)["pairs"]]
    assert codes == sorted(codes)  # and not by what they were drawn by


def test_the_page_runs_its_own_script_and_style_alone_and_no_answer_ends_a_block(page: Path) -> None:
    text = page.read_text()
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    (style,), script = re.findall(r"<style>(.*?)</style>", text, re.DOTALL), text.rsplit("<script>", 1)[1]
    wanted = f"script-src '{hash_inline(script.split('</script>')[0])}'; style-src '{hash_inline(style)}'"
    assert unescape(policy) == f"default-src 'none'; {wanted}; img-src data:; base-uri 'none'; form-action 'none'"
    assert HOSTILE not in text
    assert HOSTILE in [side["answer"] for pair in content(page)["pairs"] for side in pair["sides"]]
    assert not re.search(r"""(src|href)=["'](?!#)""", text)


def test_films_are_as_the_run_has_them_pixel_by_pixel(run: Path, page: Path) -> None:
    films = re.findall(r'id="film-\d+" data-size="56 x 56 pixels">([^<]*)<', page.read_text())
    shown = {hash_pixels(Image.open(BytesIO(base64.b64decode(film)))) for film in films}
    pairs = [item.pair for item in read_pairs(run)]
    assert shown == {film.sha256 for pair in pairs for side in (pair.chosen, pair.rejected) for film in side.images}


def test_the_same_arguments_give_the_same_page_and_another_seed_another(run: Path, page: Path, tmp_path: Path) -> None:
    for seed, same in ((0, True), (1, False)):
        write_review(run, tmp_path / "again.html", ReviewOptions(seed=seed))
        assert (content(tmp_path / "again.html") == content(page)) is same


def test_films_of_restricted_data_go_in_only_when_asked_for_and_the_page_says_so(tmp_path: Path) -> None:
    run = restrict(write_run(tmp_path / "run", pairs=8))
    without = write_review(run, tmp_path / "a.html", ReviewOptions())
    assert (without.holds, without.films, dict(without.pairs)) == ("texts", 0, {"text": 4})
    assert without.left_out == {"nothing but the film differs, and films are left out": 4}
    assert "images of patients" not in (tmp_path / "a.html").read_text()
    whole = write_review(run, tmp_path / "b.html", ReviewOptions(with_images=True))
    assert (whole.holds, dict(whole.pairs)) == ("images", {"text": 4, "image": 4})
    assert "This page holds images of patients." in (tmp_path / "b.html").read_text()
    assert all((tmp_path / name).stat().st_mode & 0o077 == 0 for name in ("a.html", "b.html"))


def test_a_pair_whose_film_is_gone_is_left_out_and_counted(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", pairs=8)
    (image,) = {item.pair.chosen.image for item in read_pairs(run) if item.pair.case.id == "tiny-1"}
    Path(image.path).unlink()
    told = write_review(run, tmp_path / "page.html", ReviewOptions())
    assert told.left_out == {"a film is gone, or another by now": 2}
    only_images(run)
    with pytest.raises(DataError, match=r"no pair to show; 4 left out: nothing but the film differs"):
        write_review(run, tmp_path / "none.html", ReviewOptions(with_images=False))


def only_images(run: Path) -> None:
    items = [item for item in read_pairs(run) if item.pair.kind == "image"]
    (run / "pairs.jsonl").write_text("".join(json.dumps(to_json(item)) + "\n" for item in items))


def test_a_page_that_would_be_too_large_is_not_written_and_says_what_helps(run: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"more than the 0 MB .*--max-side 1024"):
        write_review(run, tmp_path / "page.html", ReviewOptions(max_megabytes=0))
    assert list(tmp_path.iterdir()) == []
    small = write_review(run, tmp_path / "page.html", ReviewOptions(max_side=28))
    assert small.reduced == small.films > 0
    assert 'data-size="28 x 28 of 56 x 56 pixels"' in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize("wrong", [{"raters": 0}, {"per_kind": 0}, {"shared": 1.5}, {"twice": -0.1}, {"max_side": 8}])
def test_what_no_page_can_be_made_of_is_a_mistake_of_the_command_line(wrong: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match="command line: --"):
        require_sense(replace(ReviewOptions(), **wrong))
