"""The localizer on MONAI that learns from boxes: a RetinaNet."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from mmedpo import Case, LiveBackbone, Localizer, Region, Setting
from mmedpo_plugins.localizers.monai_detector.learning_options import LearningOptions


class MonaiDetector(Localizer):
    """Find lesions with a RetinaNet on MONAI's parts; no torchvision is needed.

        localize: {use: monai-detector, checkpoint: weights/lesions.safetensors, learning: {size: 512}}
        detector:                                  # what it learns from, while there is no checkpoint
          train: {use: slake, root: data/slake, split: train}
          validation: {use: slake, root: data/slake, split: validate}

    `mmedpo detector train RECIPE` trains it, and `mmedpo run` does so by itself while the checkpoint is missing. A
    region's confidence is the probability that the box is right, fitted on the validation films; boxes below a
    threshold chosen there are left out. A detector knows the kind of films it learned from, and no other.
    """

    use: ClassVar[str] = "monai-detector"

    checkpoint: Path
    """The safetensors file that training writes; it carries labels, threshold and calibration."""
    learning: LearningOptions = LearningOptions()
    """How it learns; without meaning once there is a checkpoint."""
    threshold: float | None = Field(default=None, ge=0, le=1)
    """Leave out boxes of a lower confidence; by default what was best (F1) on the validation films."""
    most: int = Field(default=5, ge=1)
    """Boxes an image at most, the surest."""
    batch_size: int = Field(default=16, ge=1)
    """Films at once."""

    @property
    def learnt(self) -> Path:
        """The checkpoint."""
        return self.checkpoint

    def learn(
        self, cases: dict[str, Sequence[Case]], setting: Setting, tell: Callable[[int, int], None]
    ) -> dict[str, Any]:
        """Train on cases["train"], choose by cases["validation"], measure on cases["test"]; write the checkpoint."""
        from mmedpo_plugins.localizers.monai_detector.training import train

        steps = self.learning.steps
        return train(self.learning, cases, self.checkpoint, setting, lambda step, look: tell(step, steps))

    @contextmanager
    def open(self, setting: Setting) -> Iterator[_LiveMonaiDetector]:
        """Load the checkpoint. Raises DataError."""
        from mmedpo_plugins.localizers.monai_detector.checkpoint import load

        yield _LiveMonaiDetector(self, load(self.checkpoint, setting.device))


class _LiveMonaiDetector:
    """An open detector."""

    def __init__(self, part: MonaiDetector, trained: Any) -> None:
        self._part, self._trained = part, trained

    def localize(self, cases: Sequence[Case], backbone: LiveBackbone | None) -> list[list[Region]]:
        """Return the regions of each case's image, surest first."""
        from mmedpo_plugins.localizers.monai_detector.films import detected_regions, read_film
        from mmedpo_plugins.localizers.monai_detector.inference import detect

        shape = self._trained.shape
        films = [read_film(case.image, shape.size) for case in cases]
        found = detect(self._trained.detector, [film for film, _ in films], self._part.batch_size)
        rows = zip(cases, films, found, strict=True)
        return [
            detected_regions(self._select_boxes(one), shape.labels, film[1], case.image.load().size)
            for case, film, one in rows
        ]

    def _select_boxes(self, found: Any) -> Any:
        """Calibrate the scores and keep what is sure enough."""
        from dataclasses import replace

        import numpy as np

        confidences = self._trained.calibration(found.scores)
        threshold = self._part.threshold if self._part.threshold is not None else self._trained.threshold
        return replace(found, scores=confidences).only(np.flatnonzero(confidences >= threshold)[: self._part.most])
