"""Answer held-out cases before and after, measure both, and say how sure the difference is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmedpo.core.answers import UNREAD, answer_json, read_answer, was_cut
from mmedpo.core.records import Case, Pair, WeightedPair, seed_for, to_json
from mmedpo.curate.reading import only_cases, read_records
from mmedpo.data.question_counts import question_key
from mmedpo.errors import DataError
from mmedpo.evaluate.bootstrap import paired_intervals
from mmedpo.evaluate.direction import case_gain, measure_directions
from mmedpo.evaluate.image_sensitivity import ImageSensitivityMetric, count, probes_of
from mmedpo.evaluate.lesion_attention import LesionAttentionMetric, attended_cases, look, statistics_of
from mmedpo.events import StageCount
from mmedpo.recipe.model import EvaluateOptions, LoadedRecipe
from mmedpo.registry.conformance.backbone import check_answers
from mmedpo.registry.conformance.metric import CheckedMetric
from mmedpo.registry.contracts.backbone import Backbone
from mmedpo.registry.contracts.metric import Statistics
from mmedpo.runtime.context import RunContext
from mmedpo.runtime.slices import work_by_slice
from mmedpo.runtime.stage_parts import open_parts
from mmedpo.store.image_links import link_images
from mmedpo.store.run_files.format import write_rows
from mmedpo.store.run_files.measures import (
    AnsweredCase,
    AttendedCase,
    ImageFile,
    MeasureChange,
    MeasureRecord,
    MetricResult,
    TrainingOverlap,
    list_boxes,
)

EvaluationMetric = CheckedMetric | ImageSensitivityMetric | LesionAttentionMetric
StatisticsBeforeAfter = Sequence[Sequence[Statistics]]  # before, and after where there is an after; by case


@dataclass(frozen=True)
class EvaluationAnswers:
    """The evaluation cases with the answers of one model or two."""

    cases: list[Case]
    before: list[str]
    after: list[str] | None

    @property
    def cut(self) -> dict[str, int]:
        """Return how many answers had to end before they were done."""
        return self._counted(was_cut)

    @property
    def unread(self) -> dict[str, int]:
        """Return how many answers hold what is no character."""
        return self._counted(lambda said: UNREAD in said)

    def _counted(self, is_so: Callable[[str], bool]) -> dict[str, int]:
        sides = {"before": self.before, "after": self.after}
        return {side: sum(map(is_so, said)) for side, said in sides.items() if said is not None}


def evaluate_models(
    run: RunContext, options: EvaluateOptions, trained: Path | None, pairs: Sequence[WeightedPair]
) -> MeasureRecord:
    """Measure the starting model, and the trained adapter if there is one; write answers and measures."""
    held_out = only_cases(read_records(run, options.data, "evaluate: read"))
    if not held_out:
        raise DataError(f"{run.plugin_of(options.data)} yields pairs; evaluation needs cases")
    backbone = run.recipe.backbone
    before = answers(run, backbone, held_out, options, "evaluate: before")
    after = None
    if trained is not None:
        aligned = backbone.model_copy(update={"adapter": str(trained)})
        after = answers(run, aligned, held_out, options, "evaluate: after")
    answered = EvaluationAnswers(held_out, before, after)
    metrics = metrics_of(run.loaded)
    statistics = [_statistics(metric, answered) for metric in metrics if isinstance(metric, CheckedMetric)]
    if options.probe:
        statistics.append(_looked(run, options, answered, trained))
    if options.attention:
        statistics.append(_attended(run, options, answered, trained))
    else:
        (run.folder / AttendedCase.file).unlink(missing_ok=True)  # of an earlier recipe
    _write_answers(run, answered, list(zip(metrics, statistics, strict=True)))
    odd = [StageCount(f"cut_{side}", count) for side, count in answered.cut.items()]
    odd += [StageCount(f"unreadable_{side}", count) for side, count in answered.unread.items()]
    run.finish("evaluate", [StageCount("answered_cases", len(held_out)), *(count for count in odd if count.count)])
    measured = zip(metrics, statistics, strict=True)
    return MeasureRecord(
        cases=len(held_out),
        groups=len({case.group for case in held_out}),
        overlap=overlap(held_out, pairs),
        training_images=len(trained_images(pairs)),
        max_new_tokens=options.max_new_tokens,
        cut=answered.cut,
        measures=tuple(_measure(run, metric, answered, rows) for metric, rows in measured),
    )


def check_overlap(run: RunContext, options: EvaluateOptions, records: Sequence[Case | Pair]) -> None:
    """Compare the pixels of evaluation and training data. Raises DataError where an image is in both."""
    cases = only_cases(read_records(run, options.data, "strict split: read"))
    trained = {image for record in records for image in _images_of(record)}
    shared = [case for case in cases if case.image.sha256 in trained]
    if shared:
        first, images = shared[0], {case.image.sha256 for case in cases}
        raise DataError(
            f"evaluate.strict_split: {len(images & trained)} of {len(images)} images that {run.plugin_of(options.data)}"
            f" yields are also in the training data, the first is that of case {first.id!r} ({first.image.path});"
            " choose other splits or files, or set strict_split: false to have such images counted"
        )


def answers(run: RunContext, backbone: Backbone, cases: list[Case], options: EvaluateOptions, stage: str) -> list[str]:
    """Let a model answer each case greedily; one kind after another, as a batch takes as long as its longest."""
    plugin = run.plugin_of(backbone)
    order = sorted(range(len(cases)), key=lambda at: cases[at].kind)
    with open_parts(run) as opened:

        def checked(value: Any, some: Sequence[Case]) -> Any:
            return check_answers(plugin, some, [read_answer(one) for one in value])

        def work(some: Sequence[Case]) -> Any:
            said = opened(backbone).answer(some, max_new_tokens=options.max_new_tokens)
            return [answer_json(answer) for answer in check_answers(plugin, some, said)]

        lower = "evaluate.max_new_tokens"
        together = [cases[at] for at in order]
        facts = [options.max_new_tokens, "and whether cut"]
        slices = work_by_slice(run, backbone, together, work, checked, stage=stage, facts=facts, lower=lower)
    texts = dict(zip(order, (text for some in slices for text in some), strict=True))
    return [texts[at] for at in range(len(cases))]


def metrics_of(loaded: LoadedRecipe) -> list[EvaluationMetric]:
    """Return the metrics of a recipe's evaluation, with those of its probes and of the model's attention."""
    options = loaded.recipe.evaluate
    assert options is not None
    checked = [CheckedMetric(metric, loaded.plugins[type(metric)]) for metric in options.measure]
    return [
        *checked,
        *([ImageSensitivityMetric()] if options.probe else []),
        *([LesionAttentionMetric()] if options.attention else []),
    ]


def _looked(
    run: RunContext, options: EvaluateOptions, answered: EvaluationAnswers, trained: Path | None
) -> list[list[Statistics]]:
    """Ask again about changed films, before and after, and count the answers that change."""
    probes = probes_of(run, options.probe, answered.cases)

    def count_with(model: Backbone, said: Sequence[str]) -> list[Statistics]:
        return count(probes, said, lambda cases, name: answers(run, model, cases, options, f"probe: {name}"))

    return [count_with(model, said) for model, said in _sides(run, answered, trained)]


def _attended(
    run: RunContext, options: EvaluateOptions, answered: EvaluationAnswers, trained: Path | None
) -> list[list[Statistics]]:
    """See where the models look while they give their answers, and write the maps."""
    looked = look(run, options.attention, answered.cases, _sides(run, answered, trained))
    write_rows(run.folder, AttendedCase, attended_cases(looked, answered.cases))
    return statistics_of(looked, answered.cases)


def _sides(run: RunContext, answered: EvaluationAnswers, trained: Path | None) -> list[tuple[Backbone, Sequence[str]]]:
    """Return the starting model with its answers, and the aligned one where there is one."""
    backbone = run.recipe.backbone
    aligned = backbone.model_copy(update={"adapter": str(trained)})
    return [(backbone, answered.before), *([(aligned, answered.after)] if answered.after is not None else [])]


def _statistics(metric: CheckedMetric, answered: EvaluationAnswers) -> list[list[Statistics]]:
    """Return each case's statistics before, and after where there is an after."""
    sides = [texts for texts in (answered.before, answered.after) if texts is not None]
    statistics = [metric.measure(answered.cases, texts) for texts in sides]
    for rows in statistics:
        metric.check_additive(rows)
    return statistics


def _measure(
    run: RunContext, metric: EvaluationMetric, answered: EvaluationAnswers, statistics: StatisticsBeforeAfter
) -> MetricResult:
    """Return a metric's measures before and after, the interval of each difference, and what must be said beside."""
    before, *others = [metric.combine(rows) for rows in statistics]
    after = others[0] if others else None
    checked = metric if isinstance(metric, CheckedMetric) else None
    every = [row for rows in statistics for row in rows]
    return MetricResult(
        use=metric.use,
        better=measure_directions(metric, before),
        before=before,
        after=after,
        difference=_differences(run, metric, answered, statistics) if others else {},
        cautions=tuple(checked.cautions(before, after)) if checked else (),
        nothing=checked.why_nothing(answered.cases, every) if checked else "",
    )


def _differences(
    run: RunContext, metric: EvaluationMetric, answered: EvaluationAnswers, statistics: StatisticsBeforeAfter
) -> dict[str, MeasureChange]:
    groups = [case.group for case in answered.cases]
    seed = seed_for(run.recipe.seed, "bootstrap", metric.use)
    found = paired_intervals(metric, statistics[0], statistics[1], groups, seed)
    return {name: MeasureChange(**gap) for name, gap in found.items()}


def overlap(cases: Sequence[Case], pairs: Sequence[WeightedPair]) -> TrainingOverlap:
    """Count the evaluation images whose pixels were trained on, and the cases whose question about them was, too."""
    images = {case.image.sha256 for case in cases}
    learned = {question_key(item.pair.case) for item in pairs}
    again = sum(question_key(case) in learned for case in cases)
    shared = len(images & trained_images(pairs))
    return TrainingOverlap(images=len(images), trained_on=shared, questions_trained_on=again)


def trained_images(pairs: Sequence[WeightedPair]) -> set[str]:
    """Return the pixel hashes of the images that the pairs are about."""
    return {image for item in pairs for image in _images_of(item.pair)}


def _images_of(record: Case | Pair) -> set[str]:
    """Return the pixel hashes of what would be trained on: the image, and that of a pair's chosen side."""
    return {record.image.sha256} if isinstance(record, Case) else {record.case.image.sha256, record.chosen.image.sha256}


def _write_answers(
    run: RunContext, answered: EvaluationAnswers, measured: Sequence[tuple[EvaluationMetric, StatisticsBeforeAfter]]
) -> None:
    """Write a line a case: question, truth, answers, what each metric counted of them, and what got better by it."""
    after: Sequence[str | None] = answered.after or [None] * len(answered.cases)
    sides = zip(answered.cases, answered.before, after, strict=True)
    rows = (
        AnsweredCase(
            id=case.id,
            group=case.group,
            kind=case.kind,
            question=case.question,
            truth=case.answer,
            before=old,
            after=new,
            cut=tuple(was_cut(text) for text in (old, new) if text is not None),
            image=ImageFile(**link_images(run.folder, run.journal, to_json(case.image))),
            regions=list_boxes(case.regions),
            restricted=case.restricted,
            statistics={metric.use: tuple(dict(some[index]) for some in both) for metric, both in measured},
            gain=dict(_gains(measured, index)),
        )
        for index, (case, old, new) in enumerate(sides)
    )
    write_rows(run.folder, AnsweredCase, rows)


def _gains(
    measured: Sequence[tuple[EvaluationMetric, StatisticsBeforeAfter]], index: int
) -> Iterator[tuple[str, float]]:
    """Yield by how much each metric of answers finds a case better answered after; nothing where there is no after."""
    for metric, both in measured:
        if len(both) == 2 and not isinstance(metric, ImageSensitivityMetric | LesionAttentionMetric):
            value = case_gain(metric, both[0][index], both[1][index])
            if value is not None:
                yield metric.use, value
