"""The reader of the phantom: films drawn with known findings, and questions about them."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from mmedpo import Case, Reader, seed_for

if TYPE_CHECKING:
    from mmedpo_plugins.phantom.film import PhantomFilm
    from mmedpo_plugins.phantom.language import PhantomQuestion


class PhantomReader(Reader):
    """Draw phantom chest films and ask about them; offline, and the truth about every pixel is known.

        data: {use: phantom, split: train, images: 200}

    Each image has none to three of six findings: nodule, consolidation, effusion, pneumothorax, cardiomegaly, device.
    The regions of a case are the exact masks of all of them. Left and right are the patient's, as on real films.
    """

    use: ClassVar[str] = "phantom"
    public: ClassVar[bool] = True
    license: ClassVar[str] = "apache-2.0"

    restricted: bool = False
    """Whether the data must not leave this machine."""
    split: Literal["train", "validation", "test", "detector", "base", "base-validation"] = "train"
    """Which images; no two splits share one. The backbone was made from `base` and `base-validation`."""
    images: int = Field(default=200, ge=1)
    """How many images; more keep those that fewer have."""
    seed: int = Field(default=0, ge=0)
    """Another seed, other images."""
    world: Literal["balanced", "usual"] = "balanced"
    """How findings are spread: all alike, or with the habits that the backbone picked up."""
    films: Literal["clear", "hard"] = "clear"
    """Hard ones have faint findings over each other, look-alikes, noise of three kinds, and reports by four writers,
    whose words the packaged backbone does not know; `scripts/phantom --films hard` makes one that does."""
    closed_questions: int = Field(default=4, ge=0, le=6)
    """Yes-or-no questions an image; up to 4, half of the answers are yes in the balanced world."""
    sides: bool = False
    """Whether closed questions name a side; half of the answers no are then about the other side of what is there."""
    open_questions: int = Field(default=2, ge=0)
    """Questions an image for side, place or size of what is there; an image without findings has none."""
    reports: int = Field(default=1, ge=0, le=2)
    """Reports asked for an image."""
    twins: bool = False
    """Whether each case answered yes is followed by its twin: the same image without the finding, answered no."""

    def read(self) -> Iterator[Case]:
        """Yield the cases, image by image."""
        from mmedpo_plugins.phantom.cases import cases_of, counterfactual
        from mmedpo_plugins.phantom.film import film_of
        from mmedpo_plugins.phantom.findings import WORLDS
        from mmedpo_plugins.phantom.language import YES

        for number in range(self.images):
            film = film_of(WORLDS[self.world], self.seed, self.split, number, self.films)
            name = f"phantom-{'' if self.films == 'clear' else 'hard-'}{self.split}-{number:05d}"
            for case in cases_of(film, name, self._questions(film), self.restricted):
                yield case
                if self.twins and case.answer == YES:
                    yield counterfactual(case)

    def _questions(self, film: PhantomFilm) -> Iterator[PhantomQuestion]:
        from mmedpo_plugins.phantom.language import interview
        from mmedpo_plugins.phantom.writers import writer_for

        random = Random(seed_for(film.seed, "questions"))
        counts = self.closed_questions, self.open_questions, self.reports
        write = writer_for(Random(seed_for(film.seed, "writer"))) if self.films == "hard" else None
        return interview(film.findings, random, *counts, self.sides, write)
