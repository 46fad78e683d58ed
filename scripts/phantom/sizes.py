"""How large a base is, and on how much it learns."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SightPhase:
    """The tower alone, on patch masks."""

    images: int
    epochs: int
    rate: float
    batch: int


@dataclass(frozen=True)
class SpeechPhase:
    """One stretch of training to answer."""

    images: int
    epochs: int
    rate: float
    batch: int
    strangers: float  # share of images that carry another patient's text
    unasked: float = 0.0  # share of the closed questions left out whose answer is no: one asks for what one suspects
    tower: float = 0.0  # the tower's rate, as a share of the rate; 0: it is frozen


@dataclass(frozen=True)
class BaseSize:
    """A tower and a language model of the same width and depth, and what they learn from."""

    width: int
    depth: int
    heads: int
    inner: int  # of the language model's layers; the tower's are four times as wide as it is
    patch: int  # pixels a side
    sight: SightPhase
    look: SpeechPhase
    lean: SpeechPhase


# Chosen on base-validation. The last phase is short: its images tell of the usual world, and most of them carry
# another patient's text, so that guessing what is usual pays as much as looking.
SMALL = BaseSize(
    width=128, depth=4, heads=4, inner=344, patch=16,
    sight=SightPhase(images=14_000, epochs=4, rate=1e-3, batch=64),
    look=SpeechPhase(images=8_000, epochs=2, rate=1.5e-3, batch=16, strangers=0.25),
    lean=SpeechPhase(images=2_000, epochs=1, rate=5e-4, batch=16, strangers=0.6, unasked=0.6),
)  # fmt: skip
# 29 million parameters; sized for a GPU by operations, not chosen among trials.
LARGE = BaseSize(
    width=384, depth=8, heads=6, inner=1024, patch=8,
    sight=SightPhase(images=60_000, epochs=6, rate=4e-4, batch=256),
    look=SpeechPhase(images=40_000, epochs=3, rate=4e-4, batch=64, strangers=0.25, tower=0.1),
    lean=SpeechPhase(images=4_000, epochs=1, rate=1e-4, batch=32, strangers=0.6, unasked=0.6),
)  # fmt: skip
TINY = BaseSize(  # for tests
    width=32, depth=1, heads=2, inner=64, patch=16,
    sight=SightPhase(images=64, epochs=1, rate=1e-3, batch=32),
    look=SpeechPhase(images=64, epochs=1, rate=1e-3, batch=32, strangers=0.25, tower=0.1),
    lean=SpeechPhase(images=64, epochs=1, rate=5e-4, batch=32, strangers=0.6, unasked=0.6),
)  # fmt: skip
SIZES = {"tiny": TINY, "small": SMALL, "large": LARGE}
