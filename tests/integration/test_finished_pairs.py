"""A finished run goes through no stage again, unless something that its pairs are made from, or they, have changed."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from mmedpo.core.stage import Stage
from mmedpo.events import Event, StageFinished
from mmedpo.pipeline import curation
from mmedpo.pipeline.run import RunResult, run_recipe
from mmedpo.recipe.loading import load_recipe

RECIPE = """
output: {place}/run
data: {{use: csv, file: {place}/table.csv, images: {place}/films, restricted: false}}
backbone: {{use: phantom}}
localize: {{use: annotated}}
disprefer: [{{use: opposite-answer}}, {{use: lesion-noise}}]
score: [{{use: med-llm-vote}}, {{use: detector-confidence}}]
"""
BOX = json.dumps([{"label": "nodule", "box": [2, 2, 9, 9], "confidence": 0.8}])


def write_table(place: Path, answer: str = "Yes") -> None:
    with (place / "table.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "image", "question", "answer", "boxes"])
        rows.writerows([[at, f"{at % 3}.png", "Is there a nodule?", answer, BOX] for at in range(40)])


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "films").mkdir()
    for at in range(3):
        Image.linear_gradient("L").resize((16, 16 + at)).save(tmp_path / f"films/{at}.png")
    write_table(tmp_path)
    (tmp_path / "recipe.yaml").write_text(RECIPE.format(place=tmp_path))
    carry_out(tmp_path)
    return tmp_path


def carry_out(place: Path, *overrides: str, see: Callable[[Event], None] = lambda event: None) -> RunResult:
    return run_recipe(load_recipe(place / "recipe.yaml", overrides), see, until=Stage.WEIGH)


def goes_through_stages(place: Path, monkeypatch: pytest.MonkeyPatch, *overrides: str) -> bool:
    """Carry the recipe out again, and tell whether a stage was gone through."""
    calls = []
    whole = curation.score_pairs
    monkeypatch.setattr(curation, "score_pairs", lambda *words: calls.append(1) or whole(*words))
    carry_out(place, *overrides)
    return bool(calls)


def test_a_finished_run_tells_what_it_told_before_and_does_nothing(place: Path, monkeypatch) -> None:
    first = (place / "run/pairs.jsonl").read_bytes()
    told: list[Event] = []
    monkeypatch.setattr(curation, "localize_cases", None)
    again = carry_out(place, see=told.append)
    flow = again.run.flow
    assert [event.stage for event in told if isinstance(event, StageFinished)] == [one.stage for one in flow]
    assert [one.stage for one in flow] == ["read", "localize", "disprefer", "score", "weigh"]
    assert (again.did, set(again.mean_weights), list(again.run.scoring)) == (False, {"text", "image"}, ["med-llm-vote"])
    assert (place / "run/pairs.jsonl").read_bytes() == first
    equal = [count for count in again.run.stage("weigh").counts if count.what == "equal_weights"]
    assert [(one.part, one.kind, one.count, one.reason) for one in equal if one.kind == "image"] == [
        ("detector-confidence", "image", 40, "1 (relevance 0.8)")
    ]


def test_equal_weights_are_told_of_unless_they_were_asked_for(place: Path) -> None:
    uniform = carry_out(place, "weigh={use: uniform}").run.stage("weigh")
    assert not uniform.total("equal_weights")
    literal = carry_out(place, "weigh={use: literal}").run.stage("weigh")
    assert "0.75 (relevance 0.8)" in [count.reason for count in literal.counts]


def move_films(place: Path) -> None:
    (place / "films").rename(place / "elsewhere")
    text = (place / "recipe.yaml").read_text()
    (place / "recipe.yaml").write_text(text.replace(f"{place}/films", f"{place}/elsewhere"))


def other_film(place: Path) -> None:
    Image.linear_gradient("L").resize((32, 32)).save(place / "films/1.png")


def cut_pairs(place: Path) -> None:
    lines = (place / "run/pairs.jsonl").read_text().splitlines(keepends=True)
    (place / "run/pairs.jsonl").write_text("".join(lines[1:]))


def lose_link(place: Path) -> None:
    next((place / "run/images").glob("*/*")).unlink()


def repaint_made_image(place: Path) -> None:
    made = next((place / "journal-images").glob("*/*"))
    Image.new("L", (5, 5)).save(made)


@pytest.mark.parametrize("change", [move_films, other_film, cut_pairs, lose_link, repaint_made_image])
def test_whatever_has_changed_is_noticed(change: Callable[[Path], None], place: Path, monkeypatch) -> None:
    assert not goes_through_stages(place, monkeypatch)
    whole = sorted(path.name for path in (place / "run/images").glob("*/*"))
    pairs = (place / "run/pairs.jsonl").read_bytes()
    change(place)
    assert goes_through_stages(place, monkeypatch)
    if change not in (other_film, move_films):
        assert (place / "run/pairs.jsonl").read_bytes() == pairs
        assert sorted(path.name for path in (place / "run/images").glob("*/*")) == whole
    assert not goes_through_stages(place, monkeypatch)


def test_other_answers_and_other_options_are_noticed(place: Path, monkeypatch) -> None:
    assert goes_through_stages(place, monkeypatch, "disprefer.1.step=300")
    write_table(place, answer="No")
    assert goes_through_stages(place, monkeypatch)


def test_a_note_is_said_in_every_run(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        carry_out(
            place, "disprefer.0={use: opposite-answer}", "disprefer.2={use: mirror}", "output=" + str(place / "b")
        )
        assert "made no pair" in capfd.readouterr().err
