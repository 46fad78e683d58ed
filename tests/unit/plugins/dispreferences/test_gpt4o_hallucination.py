"""The model picks the worst of the backbone's answers or writes one; what is unfit is repaired or dropped."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from forks import Forks
from killed_runs import KEY, Runs, choice, wrong_answer
from mmedpo_plugins.dispreferences.gpt4o_hallucination.answer_checks import form_fault, in_style, word_range
from mmedpo_plugins.dispreferences.gpt4o_hallucination.gpt4o_hallucination import Gpt4oHallucination

from mmedpo import Case, Drop, Pair, RecipeError, Setting
from mmedpo.testing import (
    FakeEndpoint,
    FakeReply,
    TinyBackbone,
    fake_endpoint,
    tiny_cases,
    with_faults,
)

CLOSED, OPEN = tiny_cases(2)  # Yes; In the left upper lobe.


def make(
    acts: Callable[[dict[str, Any], int], FakeReply],
    case: Case,
    samples: Sequence[str] = ("In the right lower lobe.",),
    **o: Any,
) -> tuple[Pair | Drop, FakeEndpoint]:
    with fake_endpoint(acts) as server:
        part = Gpt4oHallucination(**{"model": "m", "base_url": server.url, "samples": 4, **o})
        with part.open(Setting()) as live:
            (item,) = live.disprefer([case], TinyBackbone(samples), [()])
    return item, server


def saying(*texts: str) -> Callable[[dict[str, Any], int], FakeReply]:
    left = list(texts)
    return lambda request, before: FakeReply(text=left.pop(0) if len(left) > 1 else left[0])


def prompt_of(server: FakeEndpoint, number: int = 0) -> str:
    content = server.bodies[number]["messages"][1]["content"]
    return str(content if isinstance(content, str) else content[0]["text"])


def test_the_picked_answer_becomes_the_rejected_side_in_the_right_ones_form() -> None:
    item, server = make(saying(choice(1, "in the right upper lobe")), OPEN)
    assert isinstance(item, Pair)
    assert item.rejected.answer == "In the right upper lobe."
    assert item.chosen.answer == OPEN.answer
    assert item.notes["picked"] == "In the right lower lobe."
    assert item.notes["samples"] == ["In the right lower lobe."] * 4
    assert (item.notes["change"], item.notes["calls"]) == ("side", 1)
    assert "1. In the right lower lobe." in prompt_of(server)
    assert server.bodies[0]["messages"][1]["content"][1]["type"] == "image_url"


def test_what_the_backbone_thinks_aloud_is_shown_to_nobody() -> None:
    samples = ["<think>Left?</think>In the right lower lobe.", "<think>In the left"]
    item, server = make(saying(choice(1, "in the right upper lobe")), OPEN, samples)
    assert isinstance(item, Pair)
    assert item.notes["picked"] == "In the right lower lobe."
    assert set(item.notes["samples"]) <= set(samples), "kept as they came"
    assert "think" not in prompt_of(server)


@pytest.mark.parametrize(
    ("case", "sample", "said", "rejected"),
    [
        (OPEN, "Far out in the right lobe, which " + "is a long way off " * 9, choice(1, "whatever"), None),
        (CLOSED, "The lungs are clear.", choice(1, ""), None),  # contradicts without a no
        (CLOSED, "yes", choice(0, "The lungs are clear."), "The lungs are clear."),
        (OPEN, "in the LEFT upper lobe", choice(0, "Note: it is  on the right."), "Note: it is on the right."),
    ],
)
def test_the_papers_form_takes_a_picked_or_written_answer_as_it_came(
    case: Case, sample: str, said: str, rejected: str | None
) -> None:
    item, server = make(saying(said), case, [sample], form="paper")
    assert isinstance(item, Pair)
    assert item.rejected.answer == (rejected or sample.strip())
    assert len(server.bodies) == 1
    asked = prompt_of(server)
    assert "cannot be true when the correct answer is true" in asked
    assert not any(words in asked for words in ("words, as the", "style of", "changes one thing", '- is "No"'))


@pytest.mark.parametrize("said", [choice(0, " ... "), choice(0, "in the left upper lobe"), choice(7, "Right lobe.")])
def test_the_papers_form_sends_back_what_is_no_wrong_answer(said: str) -> None:
    item, server = make(saying(said, choice(0, "Right.")), OPEN, form="paper")
    assert isinstance(item, Pair)
    assert (item.rejected.answer, len(server.bodies)) == ("Right.", 2)


@pytest.mark.parametrize(
    ("options", "idle"),
    [
        ({"form": "paper", "length": 2, "same_style": False}, "length, same_style"),
        ({"samples": 0, "max_new_tokens": 9}, "max_new_tokens"),
    ],
)
def test_an_option_that_would_count_for_nothing_is_refused(options: dict[str, Any], idle: str) -> None:
    with pytest.raises(ValueError, match=f"; {idle} would count for nothing"):
        Gpt4oHallucination(**{"model": "m", **options})


@pytest.mark.parametrize("options", [{"form": "paper"}, {"samples": 0}])
def test_a_run_folders_recipe_which_names_every_option_is_read_again(options: dict[str, Any]) -> None:
    part = Gpt4oHallucination(**{"model": "m", **options})
    assert Gpt4oHallucination(**part.model_dump()) == part


def test_where_no_sample_is_wrong_the_model_is_told_to_write_one() -> None:
    item, server = make(saying(choice(0, "In the right upper lobe.")), OPEN, ["in the LEFT upper lobe"])
    assert isinstance(item, Pair)
    assert item.notes["picked"] is None
    assert "No candidate is wrong" in prompt_of(server)
    assert "1. " not in prompt_of(server)


def test_without_samples_the_error_goes_into_the_right_answer_and_the_backbone_is_not_asked() -> None:
    class Silent(TinyBackbone):
        def answer(self, cases: Sequence[Case], **options: Any) -> list[str]:
            raise AssertionError("the backbone was asked")

    with fake_endpoint(saying(choice(0, "In the right upper lobe."))) as server:
        part = Gpt4oHallucination(model="m", base_url=server.url, samples=0)
        with part.open(Setting()) as live:
            (pair,) = live.disprefer([OPEN], Silent(), [()])
        assert isinstance(pair, Pair)
        assert (pair.rejected.answer, pair.notes["samples"]) == ("In the right upper lobe.", [])
        assert part.estimate_usage([OPEN])[0][1].calls


def test_the_image_stays_here_when_it_is_not_to_be_shown() -> None:
    _, server = make(saying(choice(0, "In the right upper lobe.")), OPEN, show_image=False)
    assert "image_url" not in json.dumps(server.bodies)


ODD_ANSWERS = {
    "the true answer": (OPEN, choice(0, "in the left upper lobe"), "the wrong answer is the true one"),
    "a leak": (OPEN, choice(0, "Right lobe. Note: not left."), "the wrong answer gives itself away"),
    "another leak": (OPEN, choice(0, "Right lobe, which contradicts it."), "the wrong answer gives itself away"),
    "too long": (OPEN, choice(0, "In the right upper lobe, " + "far out " * 9), "the wrong answer has another length"),
    "a yes for a yes": (CLOSED, choice(0, "Yes indeed"), "a yes or no is not turned round"),
    "no words": (OPEN, choice(0, "..."), "the wrong answer is empty"),
    "a candidate that is not there": (OPEN, choice(7, "Right lobe."), "it picked what is not there"),
    "an unknown change": (OPEN, choice(0, "Right lobe.", "colour"), "the answer has not the fields asked for"),
}


@pytest.mark.parametrize("name", ODD_ANSWERS)
def test_what_is_no_good_wrong_answer_is_repaired(name: str) -> None:
    case, said, _ = ODD_ANSWERS[name]
    good = choice(0, "No" if case is CLOSED else "In the right upper lobe.")
    item, server = make(saying(said, good), case)
    assert isinstance(item, Pair)
    assert item.notes["calls"] == len(server.bodies) == 2
    assert server.bodies[1]["messages"][-2] == {"role": "assistant", "content": said}


@pytest.mark.parametrize("name", ODD_ANSWERS)
def test_after_so_many_repairs_the_case_is_dropped_with_the_reason(name: str) -> None:
    case, said, reason = ODD_ANSWERS[name]
    item, server = make(saying(said), case, repairs=1)
    assert item == Drop(case.id, f"{reason}, after 1 repairs")
    assert len(server.bodies) == 2


def test_a_refusal_drops_the_case() -> None:
    item, _ = make(lambda request, before: FakeReply(refusal="I cannot help with that"), OPEN)
    assert item == Drop(OPEN.id, "the model refused")


def test_a_recipe_can_bring_prompts_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "user.txt").write_text("Falsify {{ truth }} of {{ question }}")
    item, server = make(saying(choice(0, "In the right upper lobe.")), OPEN, prompts=str(tmp_path))
    assert isinstance(item, Pair)
    assert prompt_of(server).startswith(f"Falsify {OPEN.answer} of {OPEN.question}\n")
    assert server.bodies[0]["messages"][0]["content"].startswith("You write material")


@pytest.mark.parametrize(
    ("text", "said"), [("{{ truth", "no prompt template"), ("{{ thruth }}", "may name: candidates")]
)
def test_a_broken_prompt_is_a_mistake_of_the_recipe(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "user.txt").write_text(text)
    with pytest.raises(RecipeError, match=said):
        make(saying(choice(0, "x")), OPEN, prompts=str(tmp_path))


def test_braces_in_the_data_are_text() -> None:
    from dataclasses import replace

    _, server = make(saying(choice(0, "In the right upper lobe.")), replace(OPEN, question="Where is {{ 7 * 7 }}?"))
    assert "Where is {{ 7 * 7 }}?" in prompt_of(server)


@pytest.mark.parametrize(
    ("truth", "said", "given"),
    [
        ("left lung", "Right lung.", "right lung"),
        ("Left lung.", "right lung", "Right lung."),
        ("yes", "No", "no"),
        ("chest", "CT of the head.", "CT of the head"),
        ("Chest", "right", "Right"),
    ],
)
def test_the_final_stop_and_the_first_letter_tell_nothing(truth: str, said: str, given: str) -> None:
    assert in_style(truth, said) == given


@pytest.mark.parametrize(("words", "least", "most"), [(1, 1, 3), (5, 3, 7), (30, 20, 45)])
def test_the_length_may_differ_by_the_ratio_and_a_little(words: int, least: int, most: int) -> None:
    assert word_range("word " * words, 1.5) == (least, most)


def test_a_word_that_the_truth_has_too_is_no_leak() -> None:
    assert form_fault("Note: no effusion", "Note: an effusion", "", None) is None


# --- runs that are killed ---------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_killed_run_asks_again_at_most_what_was_in_flight_and_ends_the_same_and_tells_no_key(
    tmp_path: Path, forks: Forks
) -> None:
    with fake_endpoint(with_faults(wrong_answer, 0.2)) as server:
        whole = Runs(tmp_path / "whole", server.url, forks)
        told = whole.finish()
        asked = {key for key, answered in server.seen if answered}
        assert server.answered_twice() == []
        assert len(asked) > 80
        server.seen.clear()
        killed = Runs(tmp_path / "killed", server.url, forks)
        process = killed.start()
        while len(server.seen) < 60:
            assert process.poll() is None, process.communicate()
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        told += killed.finish()
        assert {key for key, answered in server.seen if answered} == asked
        again = [count - 1 for count in Counter(key for key, answered in server.seen if answered).values() if count > 1]
        assert sum(again) <= 8, "only the calls in flight may be repeated"
        assert killed.pairs().replace(str(killed.folder), "") == whole.pairs().replace(str(whole.folder), "")
        sent = len(server.seen)
        told += killed.finish("output=runs/sibling", "weigh.use=raw", "disprefer.0.concurrency=2")
        assert len(server.seen) == sent, "a sibling recipe asks nothing again"
        assert f"authorization: bearer {KEY}" in server.heads[0]
    assert KEY not in told
    for path in [*whole.files(), *killed.files()]:
        assert KEY.encode() not in path.read_bytes(), path


@pytest.mark.slow
def test_restricted_data_stop_a_run_before_the_backbone_opens_a_connection(tmp_path: Path, forks: Forks) -> None:
    runs = Runs(tmp_path / "x", "http://10.1.2.3:9/v1", forks)
    process = runs.start("data.restricted=true", "data.images=2")
    _, err = process.communicate()
    assert process.returncode == 2
    assert "is restricted and would be sent to 10.1.2.3" in err
    assert "allow_remote: [10.1.2.3]" in err
    assert os.path.exists(runs.folder / "runs/x/run.json")
