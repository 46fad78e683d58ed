"""What evaluation and training data have in common: images by their pixels, questions about them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from mmedpo.core.records import Case, Pair, WeightedPair
from mmedpo.curate.reading import read_records
from mmedpo.data.question_counts import question_key
from mmedpo.errors import DataError
from mmedpo.recipe.model import EvaluateOptions
from mmedpo.runtime.context import RunContext
from mmedpo.store.run_files.measures import TrainingOverlap


def require_no_overlap(run: RunContext, options: EvaluateOptions, records: Iterable[Case | Pair]) -> None:
    """Compare the pixels of evaluation and training data. Raises DataError where an image is in both."""
    cases = read_records(run, [options.data], "strict split: read").cases
    trained = {image for record in records for image in _images_of(record)}
    shared = [image for case in cases for image in case.images if image.sha256 in trained]
    if shared:
        first = next(case for case in cases if shared[0] in case.images)
        images = {image for case in cases for image in _images_of(case)}
        raise DataError(
            f"evaluate.strict_split: {len(images & trained)} of {len(images)} images that {run.plugin_of(options.data)}"
            f" yields are also in the training data, the first is that of case {first.id!r} ({shared[0].path});"
            " choose other splits or files, or set strict_split: false to have such images counted"
        )


@dataclass(frozen=True)
class LearnedExamples:
    """What a model learned from: examples, training by training."""

    sets: Sequence[Sequence[WeightedPair]]
    complete: bool = True
    """False where one of its trainings was elsewhere, nobody here knows on what."""

    def __iter__(self) -> Iterator[WeightedPair]:
        return chain.from_iterable(self.sets)

    def list_images(self) -> set[str]:
        """Return the pixel hashes of the images that were learned from."""
        return {image for item in self for image in _images_of(item.pair)}


def count_overlap(cases: Sequence[Case], learned: LearnedExamples) -> TrainingOverlap:
    """Count the evaluation images whose pixels were trained on, and the cases whose question about them was, too."""
    images = {image for case in cases for image in _images_of(case)}
    asked = {question_key(item.pair.case) for item in learned if item.pair.case.image.sha256 in images}
    return TrainingOverlap(
        images=len(images),
        trained_on=len(images & learned.list_images()),
        questions_trained_on=sum(question_key(case) in asked for case in cases),
        complete=learned.complete,
    )


def _images_of(record: Case | Pair) -> set[str]:
    """Return the pixel hashes of what would be trained on: the images, and those of a pair's chosen side."""
    shown = record.images if isinstance(record, Case) else (*record.case.images, *record.chosen.images)
    return {image.sha256 for image in shown}
