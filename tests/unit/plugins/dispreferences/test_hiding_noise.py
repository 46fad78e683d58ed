"""Noise up to the step that hides: the least at which the right answer's odds have fallen as far as they do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from mmedpo_plugins.dispreferences.lesion_noise.hiding_noise import HidingNoise, log_odds
from mmedpo_plugins.dispreferences.lesion_noise.lesion_noise import LesionNoise
from mmedpo_plugins.own_answers import likelihood
from mmedpo_plugins.own_answers.likelihood import answer_logps
from mmedpo_plugins.phantom.backbone import PhantomBackbone
from mmedpo_plugins.phantom.reader import PhantomReader

from mmedpo import Case, Drop, LiveBackbone, Pair, Setting


@pytest.fixture(scope="module")
def live() -> Iterator[LiveBackbone]:
    with PhantomBackbone().open(Setting()) as opened:
        yield opened


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    return [case for case in PhantomReader(images=3).read() if isinstance(case, Case)]


def hide(backbone: LiveBackbone, cases: Sequence[Case], **options: Any) -> list[Pair | Drop]:
    with HidingNoise(**options).open(Setting()) as part:
        return list(part.disprefer(cases, backbone, [[] for _ in cases]))


def told(monkeypatch: pytest.MonkeyPatch, *odds: float) -> None:
    """Let the backbone find the answer so likely on the film, then at each step."""
    logps = [float(-np.log1p(np.exp(-one))) for one in odds]
    monkeypatch.setattr(likelihood, "answer_logps", lambda *asked: logps)


@pytest.fixture
def seen(cases: list[Case]) -> Case:
    return next(case for case in cases if case.about and case.answer == "Yes" and case.regions)


@pytest.mark.parametrize(
    ("odds", "step"),
    [
        ((3.0, 2.9, 1.0, -0.8, -1.0, -1.0), 600),  # 3.8 of 4
        ((3.0, 2.9, 1.0, -0.5, -1.0, -1.0), 800),
        ((0.0, -1.0, -0.2, 0.0, 0.1, 0.3), 200),  # stronger noise may look like a lesion again
    ],
)
def test_the_least_step_is_taken_at_which_the_odds_fell_as_far_as_they_do(
    live: LiveBackbone, seen: Case, monkeypatch: pytest.MonkeyPatch, odds: Sequence[float], step: int
) -> None:
    told(monkeypatch, *odds)
    (pair,) = hide(live, [seen], tries=5)
    with LesionNoise(step=step, schedule="linear").open(Setting()) as part:
        (plain,) = part.disprefer([seen], None, [[]])
    assert isinstance(pair, Pair)
    assert isinstance(plain, Pair)
    assert pair.rejected == plain.rejected
    assert pair.notes["tally"] == f"hidden at step {step}"
    assert {**plain.notes, **pair.notes} == pair.notes
    assert log_odds(-1e-12) == log_odds(0.0)


def test_what_no_step_hides_is_dropped_or_taken_at_the_greatest(
    live: LiveBackbone, seen: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    told(monkeypatch, 3.0, 2.9, 2.5)
    assert hide(live, [seen], tries=2) == [Drop(seen.id, "no step of the noise halves the odds of the right answer")]
    (pair,) = hide(live, [seen], tries=2, step=900, never="greatest")
    assert isinstance(pair, Pair)
    assert (pair.notes["step"], pair.notes["tally"]) == (900, "hidden at no step, taken at 900")


def test_the_backbone_is_asked_and_a_case_without_a_lesion_is_dropped(live: LiveBackbone, cases: list[Case]) -> None:
    made = hide(live, cases[:6], tries=2, never="greatest")
    assert {type(item) for item in made} == {Pair, Drop}
    for pair in (item for item in made if isinstance(item, Pair)):
        films = [pair.case.images, pair.rejected.images]
        clear, noised = map(log_odds, answer_logps(live, films, pair.case.question, pair.case.answer))
        assert np.exp(noised - clear) == pytest.approx(pair.notes["odds"], rel=0.01, abs=1e-3)


def test_flipped_pairs_show_both_answers_on_the_film_that_hides(
    live: LiveBackbone, seen: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    told(monkeypatch, 3.0, 2.9, -2.0)
    text = Pair(seen, seen.side("Yes"), seen.side("No"), "text")
    with HidingNoise(tries=2, pairs="flipped").open(Setting()) as part:
        (pair,) = part.disprefer([seen], live, [[text]])
    assert isinstance(pair, Pair)
    assert (pair.chosen.answer, pair.rejected.answer) == ("No", "Yes")
    assert pair.chosen.image == pair.rejected.image != seen.image
    assert pair.notes["step"] == 1000
