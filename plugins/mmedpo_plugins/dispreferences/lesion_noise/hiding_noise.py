"""Noise in the lesion up to the step at which the backbone can no longer tell what it showed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import groupby
from math import exp, expm1, log
from typing import ClassVar, Literal

from pydantic import Field

from mmedpo import Case, Drop, LiveBackbone, Pair, Setting
from mmedpo_plugins.dispreferences.lesion_noise.image_change import LiveImageChange
from mmedpo_plugins.dispreferences.lesion_noise.lesion_noise import LesionNoise

SEEN = log(2)  # a fall of the answer's log-odds: noise that lessens them by less hides nothing that it was read from
SURE = -1e-7  # the log-probability above which float32 tells no odds


class HidingNoise(LesionNoise):
    """Noise the lesion up to the least step at which the backbone can no longer tell what it showed.

        disprefer:
          - {use: hiding-noise, hides: 0.9}

    At each step that is tried the backbone says how likely the right answer is on the noised film. The log-odds of the
    answer fall from the film to noise that leaves nothing of the lesion; the least step is taken at which so much of
    the greatest fall has happened. Where no step halves the odds, the answer was not read off the lesion. The pair's
    notes have the step and the fall, and the steps are counted. Otherwise it is `lesion-noise`.
    """

    use: ClassVar[str] = "hiding-noise"
    needs_backbone: ClassVar[bool] = True

    step: int = Field(default=1000, ge=1, le=1000)
    """The greatest step of the diffusion forward process, of 1000."""
    schedule: Literal["sigmoid", "linear"] = "linear"
    """The betas: DDPM's linear up to 0.02, whose last step leaves nothing, or POVID's sigmoid up to 0.005."""
    tries: int = Field(default=10, ge=1, le=100)
    """How many steps are tried, evenly up to the greatest; each shows the backbone another film."""
    hides: float = Field(default=0.9, gt=0, le=1)
    """The share of the greatest fall of the answer's log-odds at which the lesion counts as hidden."""
    never: Literal["drop", "greatest"] = "drop"
    """What becomes of a case whose answer's odds no step halves: no pair, or one at the greatest step, each counted."""

    @contextmanager
    def open(self, setting: Setting) -> Iterator[_LiveHidingNoise]:
        """Yield the object that noises, and asks the backbone."""
        with super().open(setting) as live:
            yield _LiveHidingNoise(self, live.seed, live.pool)

    def list_steps(self) -> list[int]:
        """Return the steps that are tried, from the least."""
        return sorted({max(1, self.step * number // self.tries) for number in range(1, self.tries + 1)})


@dataclass(frozen=True)
class _LiveHidingNoise(LiveImageChange):
    """The open dispreference: the options, the run's seed, and hands."""

    part: HidingNoise

    def disprefer(
        self, cases: Sequence[Case], backbone: LiveBackbone | None, earlier: Sequence[Sequence[Pair]]
    ) -> Iterator[Pair | Drop]:
        """Yield a pair of each case at the step that hides, or why there is none."""
        assert backbone is not None  # as `needs_backbone` asks
        noises = [LiveImageChange(self._at(step), self.seed, self.pool) for step in self.part.list_steps()]
        for _, some in groupby(zip(cases, earlier, strict=True), key=lambda one: one[0].images):
            together, before = zip(*some, strict=True)  # questions about a film share what is drawn of it
            for made in zip(*(noise.disprefer(together, None, before) for noise in noises), strict=True):
                pairs = [item for item in made if isinstance(item, Pair)]
                yield (
                    self._choose(pairs, backbone)
                    if len(pairs) == len(made)
                    else next(item for item in made if isinstance(item, Drop))
                )

    def _at(self, step: int) -> HidingNoise:
        return self.part.model_copy(update={"step": step})

    def _choose(self, pairs: Sequence[Pair], backbone: LiveBackbone) -> Pair | Drop:
        """Choose among pairs of one case, in the order of their steps."""
        from mmedpo_plugins.own_answers.likelihood import answer_logps

        case = pairs[0].case
        films = [case.images, *(pair.rejected.images for pair in pairs)]
        clear, *noised = map(log_odds, answer_logps(backbone, films, case.question, case.answer))
        falls = [clear - odds for odds in noised]
        if max(falls) >= SEEN:
            at = next(at for at, fall in enumerate(falls) if fall >= self.part.hides * max(falls))
            return _note(pairs[at], falls[at], f"hidden at step {pairs[at].notes['step']}")
        if self.part.never == "drop":
            return Drop(case.id, "no step of the noise halves the odds of the right answer")
        return _note(pairs[-1], falls[-1], f"hidden at no step, taken at {pairs[-1].notes['step']}")


def log_odds(logp: float) -> float:
    """Return log p - log (1 - p) of log p."""
    sure = min(logp, SURE)
    return sure - log(-expm1(sure))


def _note(pair: Pair, fall: float, tally: str) -> Pair:
    return replace(pair, notes={**pair.notes, "odds": round(exp(-fall), 4), "tally": tally})
