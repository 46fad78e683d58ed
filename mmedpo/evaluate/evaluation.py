"""Answer held-out cases before and after, measure both, and say how sure the difference is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from mmedpo.core.answers import was_cut
from mmedpo.core.records import Case, to_json
from mmedpo.curate.reading import read_records
from mmedpo.errors import DataError
from mmedpo.evaluate.answering import EvaluationAnswers, ModelAnswers, answer_before_and_after, answer_cases
from mmedpo.evaluate.confidence import measure_leanings
from mmedpo.evaluate.image_sensitivity import count_changes, make_probes
from mmedpo.evaluate.lesion_attention import attended_cases, map_attention, measure_maps
from mmedpo.evaluate.metrics import (
    EvaluationMetric,
    StatisticsBeforeAfter,
    case_gains,
    combine_measures,
    measure_answers,
    metrics_of,
)
from mmedpo.evaluate.overlap import LearnedExamples, count_overlap
from mmedpo.evaluate.statistics_table import StatisticsTable
from mmedpo.events import StageCount
from mmedpo.recipe.model import EvaluateOptions
from mmedpo.registry.conformance.metric import CheckedMetric
from mmedpo.runtime.context import RunContext
from mmedpo.store.image_links import ImageLinks
from mmedpo.store.run_files.format import write_rows
from mmedpo.store.run_files.measures import AnsweredCase, AttendedCase, ImageFile, MeasureRecord, list_boxes


def evaluate_models(
    run: RunContext, options: EvaluateOptions, adapter: Path | None, learned: LearnedExamples
) -> MeasureRecord:
    """Measure the starting model, and with an adapter if there is one; write the answers."""
    held_out = read_records(run, [options.data], "evaluate: read").cases
    if not held_out:
        raise DataError(f"{run.plugin_of(options.data)} yields pairs; evaluation needs cases")
    answers = answer_before_and_after(run, held_out, options, adapter)
    metrics = metrics_of(run.loaded)
    statistics = [measure_answers(metric, answers) for metric in metrics if isinstance(metric, CheckedMetric)]
    if options.confidence:
        statistics.append(measure_leanings(run, answers))
    if options.probe:
        statistics.append(_ask_probes(run, options, answers))
    if options.attention:
        statistics.append(_measure_attention(run, options, answers))
    else:
        (run.folder / AttendedCase.file).unlink(missing_ok=True)  # of an earlier recipe
    measured = list(zip(metrics, statistics, strict=True))
    _write_answers(run, answers, measured)
    run.finish("evaluate", [StageCount("answered_cases", len(held_out)), *_count_odd(answers)])
    return MeasureRecord(
        cases=len(held_out),
        groups=len({case.group for case in held_out}),
        overlap=count_overlap(held_out, learned),
        training_images=len(learned.list_images()),
        max_new_tokens=options.max_new_tokens.model_dump(),
        cut=answers.cut,
        measures=tuple(combine_measures(metric, answers, rows, run.recipe.seed) for metric, rows in measured),
    )


def _count_odd(answers: EvaluationAnswers) -> Iterator[StageCount]:
    for what, of_side in (("cut", answers.cut), ("unreadable", answers.unread)):
        yield from (StageCount(f"{what}_{side}", count) for side, count in of_side.items() if count)


def _ask_probes(run: RunContext, options: EvaluateOptions, answers: EvaluationAnswers) -> list[StatisticsTable]:
    """Ask again about changed films, before and after, and count the answers that change."""
    probes = make_probes(run, options.probe, answers.cases)

    def count_with(side: ModelAnswers) -> StatisticsTable:
        def ask(cases: list[Case], name: str) -> list[str]:
            return answer_cases(run, side.backbone, cases, options, f"probe: {name}")

        return StatisticsTable(count_changes(probes, side.texts, ask))

    return [count_with(side) for side in answers.sides]


def _measure_attention(run: RunContext, options: EvaluateOptions, answers: EvaluationAnswers) -> list[StatisticsTable]:
    """See where the models look while they give their answers, and write the maps."""
    maps = map_attention(run, options.attention, answers)
    write_rows(run.folder, AttendedCase, attended_cases(maps, answers.cases))
    return list(map(StatisticsTable, measure_maps(maps, answers.cases)))


def _write_answers(
    run: RunContext, answers: EvaluationAnswers, measured: Sequence[tuple[EvaluationMetric, StatisticsBeforeAfter]]
) -> None:
    """Write a line a case: question, truth, answers, what each metric counted of them, and what got better by it."""
    after: Sequence[str | None] = answers.after.texts if answers.after else [None] * len(answers.cases)
    links = ImageLinks(run.folder, run.journal)
    sides = zip(answers.cases, answers.before.texts, after, strict=True)
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
            image=files[0],
            more_images=tuple(files[1:]),
            regions=list_boxes(case.regions),
            restricted=case.restricted,
            statistics={metric.use: tuple(dict(rows[index]) for rows in both) for metric, both in measured},
            gain=dict(case_gains(measured, index)),
        )
        for index, (case, old, new) in enumerate(sides)
        for files in [[ImageFile(**links.link(to_json(image))) for image in case.images]]
    )
    write_rows(run.folder, AnsweredCase, rows)
