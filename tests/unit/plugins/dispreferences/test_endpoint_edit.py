"""A model at an endpoint edits the backbone's own answer: which side it becomes, and what is checked."""

from __future__ import annotations

import json
from typing import Any

import pytest
from mmedpo_plugins.dispreferences.minimal_edits.endpoint_edit import EndpointEdit, count_changes
from talker import Talker

from mmedpo import Drop, Pair, RecipeError, Setting
from mmedpo.testing import FakeEndpoint, FakeReply, fake_endpoint, tiny_cases

CASE = tiny_cases(2)[1]  # Where is the nodule? In the left upper lobe.
OWN = "I see it in the right upper lobe."


def edit(edited: str, right: bool = False) -> str:
    return json.dumps({"right": right, "edited": edited})


def made(*texts: str, own: str = OWN, **options: Any) -> tuple[Pair | Drop, FakeEndpoint]:
    """Return the pair or drop of a case by an endpoint that says these texts in turn, and the endpoint."""
    left = list(texts)

    def act(request: dict[str, Any], before: int) -> FakeReply:
        return FakeReply(text=left.pop(0) if len(left) > 1 else left[0])

    with fake_endpoint(act) as server:
        part = EndpointEdit(**{"model": "m", "base_url": server.url, **options})
        with part.open(Setting()) as live:
            (item,) = live.disprefer([CASE], Talker(lambda case, before: own), [()])
    return item, server


def test_a_wrong_answer_is_rejected_for_the_same_put_right() -> None:
    pair, server = made(edit("I see it in the left upper lobe."))
    assert isinstance(pair, Pair)
    assert (pair.chosen.answer, pair.rejected.answer) == ("I see it in the left upper lobe.", OWN)
    assert (pair.notes["own"], pair.notes["calls"]) == ("rejected", 1)
    (body,) = server.bodies
    said = json.dumps(body)
    assert CASE.question in said
    assert CASE.answer in said
    assert OWN in said
    assert "image_url" not in said


def test_a_right_answer_is_preferred_to_the_same_with_an_error() -> None:
    pair, _ = made(edit("It is in the left lower lobe.", right=True), own="It is in the left upper lobe.")
    assert isinstance(pair, Pair)
    assert (pair.chosen.answer, pair.rejected.answer) == (
        "It is in the left upper lobe.",
        "It is in the left lower lobe.",
    )
    assert pair.notes["own"] == "chosen"


@pytest.mark.parametrize(
    ("edited", "reason"),
    [
        (" ", "the edited answer is empty"),
        ("i see it in the RIGHT upper lobe", "the edited answer is the same"),
        ("There is a large mass at the base of the left lung.", "the edit changes too many words"),
    ],
)
def test_an_unfit_edit_is_repaired_or_drops_the_case(edited: str, reason: str) -> None:
    pair, server = made(edit(edited), edit("I see it in the left upper lobe."))
    assert isinstance(pair, Pair)
    assert pair.notes["calls"] == len(server.bodies) == 2
    assert made(edit(edited), repairs=1)[0] == Drop(CASE.id, f"{reason}, after 1 repairs")


@pytest.mark.parametrize(("own", "reason"), [("<think>Left?", "is empty"), ("In the…", "was cut at max_new_tokens")])
def test_an_answer_that_cannot_be_edited_is_paid_for_by_nobody(own: str, reason: str) -> None:
    drop, server = made(edit("x"), own=own)
    assert isinstance(drop, Drop)
    assert reason in drop.reason
    assert not server.bodies


@pytest.mark.parametrize(
    ("one", "other", "count"),
    [
        ("In the left lobe", "In the right lobe", 1),
        ("No nodule", "A large nodule", 2),
        ("Yes", "No", 1),
        ("Left upper lobe", "Left upper lobe, and more there", 4),
    ],
)
def test_changes_are_counted_in_words(one: str, other: str, count: int) -> None:
    assert count_changes(one, other) == count


def test_restricted_data_stay_before_the_backbone_is_asked() -> None:
    backbone = Talker(lambda case, before: "No")
    part = EndpointEdit(model="m", base_url="http://10.1.2.3:9/v1")
    restricted = [type(CASE)(**{**vars(CASE), "restricted": True})]
    with part.open(Setting()) as live, pytest.raises(RecipeError, match="restricted"):
        list(live.disprefer(restricted, backbone, [()]))
    assert not backbone.asked
