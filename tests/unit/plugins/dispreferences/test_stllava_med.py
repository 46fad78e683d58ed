"""A model at an endpoint scores two answers of the backbone: what it is shown, what comes of its scores, whole runs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from batch_service import BatchService
from conftest import ROOT, Mmedpo
from mmedpo_plugins.dispreferences.stllava_med.stllava_med import ExpertPreference
from talker import Talker

from mmedpo import Case, Drop, Pair, RecipeError, Setting
from mmedpo.testing import FakeEndpoint, FakeReply, fake_endpoint, tiny_cases

CASE = tiny_cases(2)[1]  # Where is the nodule? In the left upper lobe.
SAMPLES = ("In the right lobe.", "In the left lobe.")


def scores(first: int, second: int) -> str:
    return json.dumps({"first": first, "second": second, "reason": "The side."})


def made(
    *texts: str, samples: tuple[str, str] = SAMPLES, case: Case = CASE, **options: Any
) -> tuple[Pair | Drop, FakeEndpoint]:
    """Return the pair or drop of a case by an endpoint that says these texts in turn, and the endpoint."""
    left = list(texts)

    def act(request: dict[str, Any], before: int) -> FakeReply:
        return FakeReply(text=left.pop(0) if len(left) > 1 else left[0])

    with fake_endpoint(act) as server:
        part = ExpertPreference(**{"model": "m", "base_url": server.url, **options})
        with part.open(Setting()) as live:
            (item,) = live.disprefer([case], Talker(lambda case, before: samples[before]), [()])
    return item, server


@pytest.mark.parametrize(("first", "second", "chosen"), [(3, 8, 1), (8, 3, 0)])
def test_the_answer_with_the_higher_score_is_preferred(first: int, second: int, chosen: int) -> None:
    pair, _ = made(scores(first, second))
    assert isinstance(pair, Pair)
    assert (pair.chosen.answer, pair.rejected.answer) == (SAMPLES[chosen], SAMPLES[1 - chosen])
    assert pair.chosen.image is pair.rejected.image is CASE.image
    assert (pair.notes["scores"], pair.notes["reason"], pair.notes["calls"]) == ([8, 3], "The side.", 1)


def test_it_is_shown_image_question_and_both_answers_and_not_the_truth() -> None:
    _, server = made(scores(3, 8))
    text, picture = server.bodies[0]["messages"][1]["content"]
    assert f"Answer 1: {SAMPLES[0]}\n\nAnswer 2: {SAMPLES[1]}" in text["text"]
    assert CASE.question in text["text"]
    assert CASE.answer not in json.dumps(server.bodies)
    assert picture["type"] == "image_url"
    assert server.bodies[0]["temperature"] == 0.2
    _, server = made(scores(3, 8), show_image=False)
    assert "image_url" not in json.dumps(server.bodies)


def test_equal_scores_make_no_pair() -> None:
    assert made(scores(5, 5))[0] == Drop(CASE.id, "both samples have the same score")


@pytest.mark.parametrize("samples", [("Left.", "left"), ("Left.", ""), ("<think>left", "Left.")])
def test_samples_that_say_the_same_are_paid_for_by_nobody(samples: tuple[str, str]) -> None:
    drop, server = made(scores(3, 8), samples=samples)
    assert drop == Drop(CASE.id, "both samples say the same, or one says nothing")
    assert not server.bodies


def test_an_answer_that_was_cut_is_not_preferred() -> None:
    drop, _ = made(scores(8, 3), samples=("In the left upper lo…", "Right."))
    assert drop == Drop(CASE.id, "the better answer was cut at max_new_tokens")


def test_a_score_off_the_scale_is_repaired_or_drops_the_case() -> None:
    pair, server = made(scores(0, 11), scores(1, 10))
    assert isinstance(pair, Pair)
    assert pair.notes["calls"] == len(server.bodies) == 2
    assert made(scores(0, 11), repairs=1)[0] == Drop(CASE.id, "a score is off the scale, after 1 repairs")


def test_restricted_data_stay_before_the_backbone_is_asked() -> None:
    backbone = Talker(lambda case, before: "No")
    part = ExpertPreference(model="m", base_url="http://10.1.2.3:9/v1")
    with (
        part.open(Setting()) as live,
        pytest.raises(RecipeError, match=r"is restricted and would be sent to 10\.1\.2\.3"),
    ):
        list(live.disprefer([replace(CASE, restricted=True)], backbone, [()]))
    assert not backbone.asked


def test_a_recipe_can_bring_prompts_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "user.txt").write_text("{{ question }} {{ first }} or {{ second }}")
    _, server = made(scores(3, 8), prompts=str(tmp_path), show_image=False)
    said = server.bodies[0]["messages"]
    assert said[1]["content"].startswith(f"{CASE.question} {SAMPLES[0]} or {SAMPLES[1]}\n")
    assert "radiologist" in said[0]["content"]


# --- whole runs on the phantom ----------------------------------------------------------------------------------------

SMALL = ["data.images=8", "evaluate.data.images=4", "train.lora={r: 4, alpha: 8}", "disprefer.0.model=m", "output=out"]
RECIPE = ROOT / "examples/baselines/stllava_med.yaml"


def short_is_better(request: dict[str, Any], before: int = 0) -> FakeReply:
    """Prefer the answer with fewer letters."""
    text = request["messages"][1]["content"][0]["text"]
    one, other = (text.split(f"Answer {number}: ")[1].split("\n\n")[0] for number in (1, 2))
    return FakeReply(text=scores(*((9, 2) if len(one) < len(other) else (2, 9))))


def went(mmedpo: Mmedpo, server: FakeEndpoint, *more: str, code: int = 0) -> str:
    done = mmedpo("run", RECIPE, *SMALL, f"disprefer.0.base_url={server.url}", *more, "--json")
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 else done.stderr


@pytest.mark.slow
def test_the_example_runs_to_its_measures_and_pays_for_nothing_twice(mmedpo: Mmedpo, tmp_path: Path) -> None:
    with fake_endpoint(short_is_better) as server:
        result = json.loads(went(mmedpo, server, "train.epochs=4"))
        asked = len(server.bodies)
        went(mmedpo, server, "weigh.use=raw", "unrated=keep", "output=other")
        assert len(server.bodies) == asked > 0
    assert result["training"]["loss"]["last"] < result["training"]["loss"]["first"]
    assert result["measures"]["measures"]
    pairs = [json.loads(line)["pair"] for line in (tmp_path / "out/pairs.jsonl").read_text().splitlines()]
    assert all(len(pair["chosen"]["answer"]) <= len(pair["rejected"]["answer"]) for pair in pairs)


@pytest.mark.slow
def test_through_a_batch_a_run_stops_and_the_same_command_collects_it(mmedpo: Mmedpo, tmp_path: Path) -> None:
    pairs = ("disprefer.0.batch=true", "train=null", "evaluate=null")
    with fake_endpoint(short_is_better, batches=BatchService(done=False)) as server:
        assert "submitted" in went(mmedpo, server, *pairs, code=75)
        server.batches.done = True
        went(mmedpo, server, *pairs)
        assert not server.bodies, "nothing was asked singly"
    assert (tmp_path / "out/pairs.jsonl").read_text()
