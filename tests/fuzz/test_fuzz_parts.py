"""Whatever a part returns: what its contract names is taken as it is, all else is an error that names the part."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from fuzzing import fuzz
from hypothesis import given
from hypothesis import strategies as st

from mmedpo import (
    Backbone,
    Case,
    DataError,
    Dispreference,
    Drop,
    Encoding,
    Localizer,
    Loss,
    LossBatch,
    Metric,
    Pair,
    PluginError,
    Reader,
    Region,
    Score,
    Scorer,
    Setting,
    Side,
    Weighting,
)
from mmedpo.core.records import to_json
from mmedpo.registry.conformance.backbone import check_answers
from mmedpo.registry.conformance.blame import blame_part
from mmedpo.registry.conformance.dispreference import check_pairs
from mmedpo.registry.conformance.localizer import check_regions
from mmedpo.registry.conformance.loss import compute_loss, list_further_sides
from mmedpo.registry.conformance.metric import CheckedMetric
from mmedpo.registry.conformance.records import check_record
from mmedpo.registry.conformance.scorer import check_scores
from mmedpo.registry.conformance.weighting import check_weights
from mmedpo.registry.contracts.part import Part
from mmedpo.registry.discovery import resolve_part
from mmedpo.registry.kinds import KINDS
from mmedpo.testing import TinyBackbone, tiny_batch, tiny_cases, tiny_pairs
from mmedpo.testing.checks.check import Trial
from mmedpo.testing.part_check import find_plugin, list_checks

GIVEN: dict[str, Any] = {}  # what the parts below return; options are pickled, and odd things cannot be
CASES, PAIRS = tiny_cases(4), tiny_pairs("text", 4)


class Hostile:
    """Raise at whatever is asked."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")

    def __float__(self) -> float:
        raise RuntimeError("no float")


class ScorerOf(Scorer):
    """Return what is given."""

    use = "fuzz"
    rates = frozenset({"text"})

    def score(self, pairs: Sequence[Pair]) -> Any:
        return GIVEN["what"]

    def summary(self, pairs: Sequence[Pair], scores: Sequence[Score]) -> Any:
        return GIVEN.get("summary", {})


class LocalizerOf(Localizer):
    """Return what is given."""

    use = "fuzz"

    def localize(self, cases: Sequence[Case], backbone: Any) -> Any:
        return GIVEN["what"]


class DispreferenceOf(Dispreference):
    """Return what is given."""

    use = "fuzz"
    makes = "text"

    def disprefer(self, cases: Sequence[Case], backbone: Any, earlier: Any) -> Any:
        return GIVEN["what"]


class ReaderOf(Reader):
    """Return what is given."""

    use = "fuzz"

    def read(self) -> Iterator[Any]:
        yield from GIVEN["what"]


class WeightingOf(Weighting):
    """Return what is given."""

    use = "fuzz"

    def weigh(self, scores: Sequence[Score]) -> Any:
        return GIVEN["what"]


class MetricOf(Metric):
    """Return what is given."""

    use = "fuzz"

    def measure(self, cases: Sequence[Case], answers: Sequence[str]) -> Any:
        return GIVEN["what"]

    def combine(self, statistics: Any) -> Any:
        return GIVEN["measures"]


class LossOf(Loss):
    use = "fuzz"

    def compute(self, batch: LossBatch) -> Any:
        return GIVEN["what"]

    def further_sides(self, pairs: Sequence[Pair], seed: int) -> Any:
        return GIVEN["sides"]


class BackboneOf(Backbone):
    """Return what is given."""

    use = "fuzz"

    def open(self, setting: Setting) -> Any:
        class Live(TinyBackbone):
            def answer(self, cases: Sequence[Case], **options: Any) -> Any:
                return GIVEN["what"]

            def encode(self, images: Any, question: str, answer: str) -> Any:
                return GIVEN["encoding"]

        return nullcontext(Live())


atoms = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from([10**400, -(10**20), 1e308, b"bytes", 1j, {1, 2}, datetime.date(2026, 1, 1), object]),
    st.builds(Hostile),
    st.floats(),
    st.text(max_size=3),
    st.sampled_from(["\ud800", "", " ", "Yes"]),
    st.sampled_from([np.float32(0.5), np.float64("nan"), np.int64(1), np.bool_(True), np.zeros(2), np.array(0.25)]),
)
odd = st.recursive(atoms, lambda one: st.lists(one, max_size=3) | st.dictionaries(st.text(max_size=2), one, max_size=2))


def changed(records: Sequence[Any], names: Sequence[str]) -> st.SearchStrategy[Any]:
    """Draw these records, some of them replaced by something odd, or with one field that is."""

    def one(record: Any) -> st.SearchStrategy[Any]:
        fields = st.tuples(st.sampled_from(names), odd).map(lambda change: replace(record, **{change[0]: change[1]}))
        return st.one_of(st.just(record), st.just(record), fields, fields, odd)

    right = st.tuples(*map(one, records)).map(list)
    return st.one_of(
        right, right, right, right.map(lambda some: some[1:]), right.map(lambda some: [*some, some[0]]), odd
    )


SCORES = changed([Score(0.5, {"votes": [1]})] * 4, ("relevance", "evidence"))
REGIONS = changed([Region("nodule", (1.0, 1.0, 9.0, 9.0), 0.5)] * 2, ("label", "box", "confidence", "mask"))
MADE = changed(PAIRS, ("case", "chosen", "rejected", "kind", "number", "relevance", "notes"))
READ = changed(CASES, ("id", "image", "question", "answer", "kind", "group", "about", "regions", "restricted", "notes"))
NUMBERS = st.one_of(st.lists(st.one_of(st.floats(0, 2), odd), min_size=3, max_size=5), odd)
ROWS = st.one_of(st.lists(st.one_of(st.just({"n": 1.0}), odd), min_size=4, max_size=6), odd)


def tried(check: Callable[[], Any]) -> tuple[Any, str]:
    """Return what a check gives, or the error that it ends with."""
    try:
        return check(), ""
    except (PluginError, DataError) as error:
        return None, str(error)


def try_border(part: Part) -> None:
    """Try what checks a part's results where they enter the pipeline; here they are the same for any batch."""
    with closing(Trial(part, find_plugin(part))) as trial:
        for check in list_checks(part):
            if check.name in ("a batch", "a reading", "encoding", "summary"):
                with blame_part(trial.plugin, "it"):
                    check.run(trial)


def outcome(part: Part, **given: Any) -> bool:
    """Tell whether a part passes; where it does not, the error must name it and hold no half characters."""
    GIVEN.clear()
    GIVEN.update(given)
    error = tried(lambda: try_border(part))[1]
    error.encode()
    assert not error or "'fuzz'" in error
    return not error


def as_given(taken: Any, given: Any) -> bool:
    """Tell whether a value was taken as it is; numbers of numpy count as Python's."""
    if isinstance(given, (list, tuple)):
        return len(taken) == len(given) and all(as_given(*both) for both in zip(taken, given, strict=True))
    if isinstance(given, dict):
        return taken.keys() == given.keys() and all(as_given(taken[name], given[name]) for name in given)
    return bool(taken == given)


def whole(value: Any) -> None:
    """Require a value that a file can hold."""
    json.dumps(to_json(value), allow_nan=False, ensure_ascii=False).encode()


@fuzz(60)
@given(SCORES, odd)
def test_scores(scores: Any, summary: Any) -> None:
    if outcome(ScorerOf(), what=scores, summary=summary):
        taken = check_scores(resolve_part(KINDS["scorer"], "med-llm-vote"), PAIRS, scores)
        whole(taken)
        assert as_given([one.relevance for one in taken], [one.relevance for one in scores])
        assert as_given([one.evidence for one in taken], [one.evidence for one in scores])


@fuzz(60)
@given(st.one_of(st.lists(REGIONS, min_size=4, max_size=4), odd))
def test_regions(regions: Any) -> None:
    if outcome(LocalizerOf(), what=regions):
        for case, some in zip(CASES, regions, strict=True):
            taken = check_regions(resolve_part(KINDS["localizer"], "annotated"), case, some)
            whole(taken)
            assert as_given([list(one.box) for one in taken], [list(one.box) for one in some])


@fuzz(60)
@given(st.one_of(MADE, MADE.map(lambda made: [*made, Drop("tiny-0", "odd")] if isinstance(made, list) else made)))
def test_pairs_and_drops(made: Any) -> None:
    if outcome(DispreferenceOf(), what=made):
        part = DispreferenceOf()
        taken = list(check_pairs(resolve_part(KINDS["dispreference"], "mirror"), part, made, CASES))
        whole(taken)
        assert {one.case.id if isinstance(one, Pair) else one.case_id for one in taken} == {case.id for case in CASES}
        assert all(one.chosen == other.chosen for one, other in zip(taken, made, strict=True) if isinstance(one, Pair))


@fuzz(60)
@given(READ)
def test_cases(read: Any) -> None:
    if isinstance(read, list) and outcome(ReaderOf(), what=read):
        taken = [check_record(resolve_part(KINDS["reader"], "phantom"), one) for one in read]
        whole([replace(one, image=replace(one.image, held=None)) for one in taken if isinstance(one, Case)])
        assert [one.id for one in taken if isinstance(one, Case)] == [one.id for one in read if isinstance(one, Case)]


@fuzz(60)
@given(NUMBERS)
def test_weights(weights: Any) -> None:
    taken, error = tried(lambda: check_weights(resolve_part(KINDS["weighting"], "clinical"), weights, 4))
    if error:
        assert "'clinical'" in error
        return
    assert as_given(taken, weights)
    assert all(type(weight) is float and weight >= 0 and math.isfinite(weight) for weight in taken)


@fuzz(60)
@given(ROWS, st.one_of(st.just({"n": 0.5}), odd))
def test_statistics_and_measures(rows: Any, measures: Any) -> None:
    GIVEN.update(what=rows, measures=measures)
    metric = CheckedMetric(MetricOf(), resolve_part(KINDS["metric"], "med-vqa"))
    checks = ((lambda: metric.measure(CASES, [""] * 4), rows), (lambda: metric.combine([]), measures))
    for check, returned in checks:
        taken, error = tried(check)
        if error:
            assert "'med-vqa'" in error
        else:
            whole(taken)
            assert as_given(taken, returned)


@fuzz(60)
@given(
    st.one_of(st.lists(st.one_of(st.text(), odd), min_size=3, max_size=5), odd),
    st.one_of(st.builds(Encoding, st.one_of(st.just([1, 2, 3]), odd), st.one_of(st.just(1), odd), odd), odd),
)
def test_answers_and_encodings(answers: Any, encoding: Any) -> None:
    if outcome(BackboneOf(), what=answers, encoding=encoding):
        assert as_given(check_answers(resolve_part(KINDS["backbone"], "phantom"), CASES, answers), answers)
        assert 0 < encoding.answer_start < len(encoding.ids)


TENSORS = st.sampled_from([torch.zeros(4), torch.zeros(4, requires_grad=True), torch.zeros(2, 2), torch.tensor(1.0)])
SIDES = st.dictionaries(st.text(max_size=2) | st.just("chosen"), st.just(PAIRS[0].chosen) | odd, max_size=2)


@fuzz(60)
@given(odd | TENSORS, st.lists(SIDES | odd, min_size=3, max_size=5) | odd)
def test_losses_and_further_sides(values: Any, sides: Any) -> None:
    GIVEN.update(what=values, sides=sides)
    made, error = tried(lambda: compute_loss(LossOf(), tiny_batch(4)))
    assert "'fuzz'" in error if error else made.requires_grad and made.shape == (4,)
    named, error = tried(lambda: list_further_sides(LossOf(), PAIRS, 0))
    assert "'fuzz'" in error if error else all(isinstance(side, Side) for one in named for side in one.values())


def test_a_side_that_cannot_even_be_printed_is_refused() -> None:
    GIVEN.update(sides=[Hostile()] * 4)
    assert "'fuzz'" in tried(lambda: list_further_sides(LossOf(), PAIRS, 0))[1]


def test_what_is_right_passes_all_of_it() -> None:
    assert outcome(ScorerOf(), what=[Score(0.5)] * 4)
    assert outcome(LocalizerOf(), what=[[]] * 4)
    assert outcome(DispreferenceOf(), what=PAIRS)
    assert outcome(ReaderOf(), what=CASES)
    assert outcome(MetricOf(), what=[{"n": 1.0}] * 12, measures={"n": 0.5})
    assert outcome(BackboneOf(), what=["Yes"] * 4, encoding=Encoding([1, 2], 1, [{}]))


@pytest.mark.parametrize("answer", ["", "Perhaps"])
def test_an_empty_answer_is_the_models_right_and_no_parts(answer: str) -> None:
    pairs = [replace(pair, rejected=Side(pair.rejected.image, answer)) for pair in PAIRS]
    assert outcome(DispreferenceOf(), what=pairs) is bool(answer)
