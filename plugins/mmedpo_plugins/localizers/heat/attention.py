"""The localizer that takes where the backbone itself looked while it answered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from mmedpo import Case, LiveBackbone, Localizer, Region, Setting

if TYPE_CHECKING:
    from mmedpo.models import ImageAttention


class AttentionLocalizer(Localizer):
    """Take where the backbone itself looked while it answered.

        localize: {use: attention, quantile: 0.9}

    The attention of the answer's tokens to the image's, weighted by the gradient of the answer's log-probability and
    averaged over heads and layers (Chefer et al., arXiv 2103.15679). It is laid over the image itself, however the
    backbone is shown it: padded, cropped or in tiles. Where a model looks need not be where the lesion is: compare with
    other localizers before you noise it. The confidence is the share of the attention inside, less what fell beside the
    image.
    """

    use: ClassVar[str] = "attention"
    reads_question: ClassVar[bool] = True
    several_images: ClassVar[bool] = True
    needs_backbone: ClassVar[bool] = True
    slice_size: ClassVar[int] = 16

    quantile: float = Field(default=0.9, gt=0, lt=1)
    """The share of the image's pixels that are too cool to count; what is hotter is the region, as a soft mask."""
    answer: Literal["own", "truth"] = "own"
    """Whose words the attention is of: the model's own answer, or the clinician's."""
    max_new_tokens: int = Field(default=32, ge=1)
    """The longest answer of its own, in tokens."""

    @contextmanager
    def open(self, setting: Setting) -> Iterator[AttentionLocalizer]:
        """Yield the part itself."""
        yield self

    def localize(self, cases: Sequence[Case], backbone: LiveBackbone | None) -> list[list[Region]]:
        """Return the region of each image that the model attended to most, for each case."""
        from mmedpo.models import attention_maps

        assert backbone is not None
        words = [case.answer for case in cases]
        if self.answer == "own":
            words = backbone.answer(cases, max_new_tokens=self.max_new_tokens)
        maps = attention_maps(backbone, cases, words)
        return [list(self._regions(*both)) for both in zip(cases, maps, strict=True)]

    def _regions(self, case: Case, maps: Sequence[ImageAttention]) -> Iterator[Region]:
        from mmedpo_plugins.heat_maps.regions import hot_region

        label = case.about[0] if case.about else ""
        for at, (image, seen) in enumerate(zip(case.images, maps, strict=True)):
            if region := hot_region(seen.heat, image.load().size, self.quantile, label, "share"):
                within = 1 - seen.beside / seen.total
                yield replace(region, image=at, confidence=round(region.confidence * within, 6))
