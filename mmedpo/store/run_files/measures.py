"""What was trained and measured: training.json, measures.json, and the cases in answers.jsonl and attention.jsonl."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Literal

from pydantic import Field

from mmedpo.core.records import CaseKind, Region
from mmedpo.events import StageCount
from mmedpo.store.run_files.counts import sum_counts
from mmedpo.store.run_files.format import JsonFile, JsonRow, RunModel


class LossEnds(RunModel):
    """The loss at both ends of a training: over an epoch, of a single epoch over a tenth of it."""

    first: float
    """At the beginning."""
    last: float
    """At the end."""


class HeldOutPairs(RunModel):
    """How pairs are ranked that were not trained on."""

    pairs: int
    """How many."""
    accuracy: float
    """The share whose chosen side has the greater reward."""
    margin: float
    """By how much greater, on average."""


class TrainingRecord(JsonFile):
    """What became of the pairs in training, or of the cases where it learned these."""

    file: ClassVar = "training.json"

    key: str = ""
    """The hash of all that the adapter was trained from."""
    counts: tuple[StageCount, ...]
    """Pairs that were trained on, held out or left out, by kind; or cases."""
    packing: Literal["tree", "pairs"]
    """How a batch was laid out."""
    steps: int
    """Of the optimiser."""
    loss: LossEnds
    """At both ends."""
    history: tuple[dict[str, float], ...]
    """What was logged at each step: `step`, `loss`, `pairs` (or cases: how many), and TRL's `rewards/...`."""
    validation: dict[str, HeldOutPairs]
    """By pair kind, and `all`."""
    held_out: tuple[str, ...] = ()
    """Hashes of the images, and groups, of the pairs that were held out; later rounds hold them out too."""
    seconds: float
    """How long it took, of a run that was killed since it went on."""

    @property
    def trained(self) -> int:
        """How many pairs, or cases, were trained on."""
        return sum(sum_counts(self.counts, what) for what in ("trained_pairs", "trained_cases"))

    @property
    def of_cases(self) -> bool:
        """Whether cases were learned, and no pairs."""
        return sum_counts(self.counts, "trained_cases") > 0

    @property
    def examples(self) -> str:
        """What was learned, in a word."""
        return "cases" if self.of_cases else "pairs"


class MeasureChange(RunModel):
    """The difference of a measure, after less before."""

    value: float
    low: float | None = None
    """Where its 95 % interval begins; left out where it is not defined."""
    high: float | None = None
    """Where it ends."""
    p: float | None = None
    """The p-value of no difference."""


class MetricResult(RunModel):
    """What one metric measured."""

    use: str
    """Its name in recipes; `confidence`, `looks` and `attention` are ours."""
    better: dict[str, int]
    """By measure: 1 where more is better, -1 where less is."""
    before: dict[str, float]
    """By measure: of the starting model."""
    after: dict[str, float] | None = None
    """Of the aligned model; left out where nothing was trained."""
    difference: dict[str, MeasureChange] = Field(default_factory=dict)
    """By measure: after less before."""
    cautions: tuple[str, ...] = ()
    """What the metric says must be said beside its measures."""
    nothing: str = ""
    """Why there is no measure."""

    def changed(self, measure: str) -> MeasureChange | None:
        """Return the difference of a measure; None for one that is the same in every resample, as a count is."""
        gap = self.difference.get(measure)
        return gap if gap and any((gap.value, gap.low, gap.high)) else None


class TrainingOverlap(RunModel):
    """How much of the evaluation data was trained on."""

    images: int
    """Evaluation images."""
    trained_on: int
    """How many of them were trained on, pixel by pixel, in this run or in one whose adapter it began with."""
    questions_trained_on: int = 0
    """Cases whose question about the image was, too."""
    complete: bool = True
    """False where an adapter was trained elsewhere, nobody here knows on what."""


class MeasureRecord(JsonFile):
    """What was measured, before and after."""

    file: ClassVar = "measures.json"

    cases: int
    """That were answered."""
    groups: int
    """Patients, else images, that are resampled as one."""
    overlap: TrainingOverlap
    """With the training data."""
    training_images: int
    """Images that the pairs, or cases, are about that training learns."""
    max_new_tokens: dict[str, int]
    """Where an answer had to end, by the kind of its case."""
    cut: dict[str, int]
    """`before` and `after`: how many answers had to end there."""
    measures: tuple[MetricResult, ...]
    """By metric, in the recipe's order."""

    @property
    def trained(self) -> bool:
        """Whether there is an after."""
        return any(one.after is not None for one in self.measures)


class VariantOverlap(TrainingOverlap):
    """How much of the evaluation data one run of a variant was trained on."""

    method: str
    """The variant."""
    run: str
    """Its folder."""


class VariantTable(JsonFile):
    """Of a recipe's variants, beside their folders: how each compares."""

    file: ClassVar = "variants.json"

    against_start: tuple[dict[str, Any], ...]
    """Each measure of each variant, compared with the starting model; as `mmedpo compare --json` prints it."""
    against_first: tuple[dict[str, Any], ...]
    """The same, compared with the first variant."""
    overlap: tuple[VariantOverlap, ...]
    """Of each run."""


class RoundTable(JsonFile):
    """Of a run in rounds, beside their folders `round-1`, `round-2` ...: how many there are, and how each compares."""

    file: ClassVar = "rounds.json"

    count: int
    """How many the recipe asks for."""
    against_start: tuple[dict[str, Any], ...] = ()
    """Each measure of each round that is done, compared with the start; as `mmedpo compare --json` prints it."""
    against_first: tuple[dict[str, Any], ...] = ()
    """The same, compared with the first round."""


class ImageFile(RunModel):
    """An image."""

    path: str
    """Relative to the run folder (`images/...`), else to where the run was started."""
    sha256: str
    """Of mode, size and pixels."""


class LabelledBox(RunModel):
    """A region without its mask."""

    label: str
    """The finding, in the data's own word."""
    box: tuple[float, float, float, float]
    """Left, top, right, bottom in pixels."""
    image: int = 0
    """Which of the case's images it lies in, counted from 0."""


def list_boxes(regions: Iterable[Region]) -> tuple[LabelledBox, ...]:
    """Return regions without their masks."""
    return tuple(LabelledBox(label=region.label, box=region.box, image=region.image) for region in regions)


class AnsweredCase(JsonRow):
    """An evaluation case with its answers."""

    file: ClassVar = "answers.jsonl"

    id: str
    """As the reader named it."""
    group: str
    """What is resampled with it: patient, else image."""
    kind: CaseKind
    """Of the question."""
    question: str
    """What was asked."""
    truth: str
    """The clinician's answer."""
    before: str
    """The starting model's answer."""
    after: str | None
    """The aligned model's; null where nothing was trained."""
    cut: tuple[bool, ...]
    """Whether the answer had to end at `max_new_tokens`: before, and after where there is one."""
    image: ImageFile
    """What it was asked about; of several images, the first."""
    more_images: tuple[ImageFile, ...] = ()
    """The further images, where it has several."""
    regions: tuple[LabelledBox, ...]
    """Where findings are, as far as the data say."""
    restricted: bool
    """Whether it must not leave the machine."""
    statistics: dict[str, tuple[dict[str, float], ...]]
    """By metric: what it counts of the answer before, and of the one after."""
    gain: dict[str, float]
    """By metric: by how much the case got better."""


class AttentionSide(RunModel):
    """Where one model looked."""

    map: list[list[float]]
    """The share of the attention to the image's tokens that each part of the image gets, row by row."""
    inside: float | None = None
    """The share inside the lesion; left out where that is not defined."""
    chance: float | None = None
    """What would be there if each of the image's tokens got equally much."""
    beside: float | None = None
    """The share beside the image: on what pads it, or on tokens that show no part of it."""


class AttendedCase(JsonRow):
    """Where the models looked while they answered a case."""

    file: ClassVar = "attention.jsonl"

    id: str
    """As in answers.jsonl."""
    regions: tuple[LabelledBox, ...]
    """The lesion that was asked about."""
    before: AttentionSide
    """The starting model."""
    after: AttentionSide | None = None
    """The aligned model."""

    @property
    def sides(self) -> list[AttentionSide]:
        """Before, and after where there is one."""
        return [self.before, *([self.after] if self.after else [])]
