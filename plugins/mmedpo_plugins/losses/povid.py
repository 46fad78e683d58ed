"""POVID's loss: half on injected errors, half on what the model itself would say of the noised film."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from mmedpo import ImageRef, Loss, LossBatch, Pair, Side, digest, hookimpl, seed_for
from mmedpo_plugins.losses.log_sigmoid import log_sigmoid
from mmedpo_plugins.noise.options import NoiseOptions

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

NOISED = "noised"


@hookimpl
def mmedpo_losses() -> list[type[Loss]]:
    return [PovidLoss]


class PovidLoss(NoiseOptions, Loss):
    """Prefer the right answer to an injected error, and to what the model itself would say of the noised film.

        train: {loss: {use: povid, step: 500}}

    POVID (arXiv 2402.11411), as its released code (tool/dpo_trainer_inherent.py) trains its second stage:

    (1-s) (-log sigmoid(beta (r_w - r_l))) + s (-log sigmoid(beta (r_w - r_n))), s = 1/2,

    with r_w and r_l the log-ratios of the chosen and of the rejected answer on the film. r_n is that of the model's own
    tokens: at each place of the chosen answer, read up to there, the likeliest next token on the film under diffusion
    noise (step 500 of 1000), and how likely that is on the film itself. They are found anew in each step; the reference
    chooses for itself.
    """

    use: ClassVar[str] = "povid"
    own_tokens: ClassVar[frozenset[str]] = frozenset({NOISED})

    share: float = Field(default=0.5, ge=0, le=1)
    """The share of the model's own tokens in the loss; the rest is the injected error's."""

    def further_sides(self, pairs: Sequence[Pair], seed: int) -> Sequence[Mapping[str, Side]]:
        """Name for each pair its chosen answer on the noised film, or films."""
        return [{NOISED: self._noise_side(pair.chosen, seed)} for pair in pairs]

    def compute(self, batch: LossBatch) -> Tensor:
        """Return both terms by their shares."""
        own = batch.chosen.ratio - batch.further[NOISED].ratio
        terms = -log_sigmoid(batch.beta * batch.margin), -log_sigmoid(batch.beta * own)
        return (1 - self.share) * terms[0] + self.share * terms[1]

    def _noise_side(self, side: Side, seed: int) -> Side:
        for at, film in enumerate(side.images):
            side = side.show(self._noise_film(film, seed), at)
        return side

    def _noise_film(self, film: ImageRef, seed: int) -> ImageRef:
        """Promise a film under noise that depends on the film and the run's seed alone."""
        known = film.sha256 or film.path

        def draw() -> Image:
            return self.add_to(film.load(), None, seed_for(seed, "noise", known))

        options = self.model_dump(include=set(NoiseOptions.model_fields))
        return ImageRef.deferred(draw, digest("povid", known, seed, options))
