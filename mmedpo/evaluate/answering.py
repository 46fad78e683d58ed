"""The answers that are measured: of the starting model, and of the trained one where there is one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmedpo.core.answers import UNREAD, dump_answer, read_answer, was_cut
from mmedpo.core.images import name_images, order_by_images
from mmedpo.core.lazy_sequence import pick_items
from mmedpo.core.notes import print_note
from mmedpo.core.records import Case
from mmedpo.recipe.model import EvaluateOptions
from mmedpo.registry.conformance.backbone import check_answers
from mmedpo.registry.contracts.answer_limits import AnswerLimits, answer_by_kind
from mmedpo.registry.contracts.backbone import Backbone
from mmedpo.registry.contracts.served_model import ServedAnswers
from mmedpo.runtime.context import RunContext
from mmedpo.runtime.served_backbone import ServedBackbone, served_facts
from mmedpo.runtime.slice_work import SliceWork
from mmedpo.runtime.slices import work_by_slice
from mmedpo.runtime.stage_parts import StageParts, open_parts


@dataclass(frozen=True)
class ModelAnswers:
    """A model and its answer to each case."""

    backbone: Backbone
    texts: list[str]


@dataclass(frozen=True)
class EvaluationAnswers:
    """The evaluation cases with the answers of one model or two."""

    cases: Sequence[Case]
    before: ModelAnswers
    after: ModelAnswers | None

    @property
    def sides(self) -> list[ModelAnswers]:
        """The starting model with its answers, and the aligned one where there is one."""
        return [self.before] if self.after is None else [self.before, self.after]

    @property
    def cut(self) -> dict[str, int]:
        """How many answers had to end before they were done."""
        return self._count_texts(was_cut)

    @property
    def unread(self) -> dict[str, int]:
        """How many answers hold what is no character."""
        return self._count_texts(lambda text: UNREAD in text)

    def _count_texts(self, holds: Callable[[str], bool]) -> dict[str, int]:
        names = ("before", "after")[: len(self.sides)]
        return {name: sum(map(holds, side.texts)) for name, side in zip(names, self.sides, strict=True)}


def answer_before_and_after(
    run: RunContext, cases: Sequence[Case], options: EvaluateOptions, adapter: Path | None
) -> EvaluationAnswers:
    """Let the starting model answer the cases, and the one with the trained adapter if there is one."""
    backbone, aligned = choose_models(run.loaded.start, adapter)
    if run.recipe.backbone.answers:
        print_note(_tell_who_answers(run.recipe.backbone.answers, adapter))
    before = ModelAnswers(backbone, answer_cases(run, backbone, cases, options, "evaluate: before"))
    if aligned is None:
        return EvaluationAnswers(cases, before, None)
    after = ModelAnswers(aligned, answer_cases(run, aligned, cases, options, "evaluate: after"))
    return EvaluationAnswers(cases, before, after)


def choose_models(backbone: Backbone, adapter: Path | None) -> tuple[Backbone, Backbone | None]:
    """Return the starting model and the aligned one, both answered for by the endpoint, or both here.

    Where one engine answered before training and another after, what differs might be the engines.
    """
    if adapter is None:
        return backbone, None
    trained = backbone.answers.of_trained() if backbone.answers else None
    start = backbone if trained else backbone.model_copy(update={"answers": None})
    return start, start.model_copy(update={"adapter": str(adapter), "answers": trained})


def _tell_who_answers(served: ServedAnswers, adapter: Path | None) -> str:
    if adapter is None:
        return f"evaluate: {served.model} at {served.base_url} gives the answers"
    if served.trained is None:
        why = "backbone.answers names no 'trained', and two engines would not compare"
        return f"evaluate: the answers before and after training are given here: {why}"
    given = (
        f"evaluate: {served.model} at {served.base_url} gives the answers before training, {served.trained} those after"
    )
    return f"{given}; it must serve {adapter} under this name"


def answer_cases(
    run: RunContext, backbone: Backbone, cases: Sequence[Case], options: EvaluateOptions, stage: str
) -> list[str]:
    """Let a model answer each case greedily, those of an image together."""
    plugin = run.plugin_of(backbone)
    order = order_by_images([name_images(case.images) for case in cases])
    with open_parts(run) as opened:

        def read(value: Any, some: Sequence[Case]) -> Any:
            return check_answers(plugin, some, [read_answer(answer) for answer in value])

        ordered = pick_items(cases, order)
        served = ServedBackbone(opened, backbone, cases) if backbone.answers else None
        work = AnswerWork(backbone, "evaluate.max_new_tokens", options.max_new_tokens, served)
        facts = [options.max_new_tokens.model_dump(), "and whether cut", *served_facts(backbone)]
        slices = work_by_slice(opened, work, ordered, read, stage=stage, facts=facts)
    texts = dict(zip(order, (text for answers in slices for text in answers), strict=True))
    return [texts[index] for index in range(len(cases))]


@dataclass(frozen=True)
class AnswerWork(SliceWork[Case]):
    """A model's work on the cases that are measured."""

    part: Backbone
    limits: AnswerLimits
    served: ServedBackbone | None  # that answers for it

    def do(self, opened: StageParts, some: Sequence[Case]) -> Any:
        """Return the greedy answer to each case."""
        live, plugin = self.served or opened(self.part), opened.run.plugin_of(self.part)

        def answer(cases: Sequence[Case], **how: Any) -> Sequence[str]:
            return check_answers(plugin, cases, live.answer(cases, **how))

        return [dump_answer(said) for said in answer_by_kind(answer, some, self.limits)]
