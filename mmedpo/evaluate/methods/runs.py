"""What a comparison needs of measured runs: the statistics of each case, and which runs are one method's."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from pathlib import Path

from pydantic import ConfigDict

from mmedpo.core.notes import print_note
from mmedpo.core.records import digest
from mmedpo.data.text_files import text_lines
from mmedpo.errors import DataError
from mmedpo.evaluate.metrics import EvaluationMetric, metrics_of
from mmedpo.evaluate.statistics_table import StatisticsTable
from mmedpo.recipe.run_recipe import load_run_recipe
from mmedpo.store.result_keys import other
from mmedpo.store.run_files.format import RunModel, parse_line
from mmedpo.store.run_files.measures import AnsweredCase, ImageFile
from mmedpo.store.run_files.reader import read_run


class _ComparedCase(RunModel):
    """What a comparison needs of an `AnsweredCase`."""

    model_config = ConfigDict(allow_inf_nan=False)

    id: str
    group: str
    truth: str
    image: ImageFile
    more_images: tuple[ImageFile, ...] = ()
    statistics: dict[str, tuple[dict[str, float], ...]]


@dataclass(frozen=True)
class MeasuredCases:
    """What a comparison needs of a run's answered cases, of which none is kept."""

    key: str  # the hash of which cases they are
    groups: list[str]  # of each case
    statistics: dict[str, tuple[StatisticsTable, ...]]  # by metric: before, and after where something was trained


@dataclass(frozen=True)
class MethodRuns:
    """One or more runs that differ in their seed alone."""

    name: str
    runs: tuple[Path, ...]
    measured: tuple[MeasuredCases, ...]  # of each run
    side: int  # 0: its answers before training, -1: the last it has, of a model alone its only ones

    @cached_property
    def trainings(self) -> list[tuple[str, int]]:
        """Return what each run's model was before any adapter, and the run's seed."""
        records = [read_run(run).run for run in self.runs]
        backbones = [{**record.recipe["backbone"], "adapter": None, "answers": None} for record in records]
        return [(digest(backbone), record.seed) for backbone, record in zip(backbones, records, strict=True)]

    @property
    def bases(self) -> list[str]:
        """Return what each run's model was before any adapter; trainings of one base are alike."""
        return [base for base, _ in self.trainings]

    def statistics(self, use: str) -> list[StatisticsTable]:
        """Return each run's statistics of a metric, by case."""
        return [one.statistics[use][self.side] for one in self.measured]


def open_runs(name: str, folders: Sequence[Path | str]) -> MethodRuns:
    """Read the runs of a method. Raises DataError where one has no answers."""
    places = tuple(map(Path, folders))
    return MethodRuns(name, places, tuple(map(_read_answers, places)), -1)


def choose_start(methods: Mapping[str, Sequence[Path | str]]) -> str:
    """Return the first method that began with a model alone; the first of all where each began with an adapter."""
    for name, folders in methods.items():
        if not any(read_run(folder).run.recipe["backbone"].get("adapter") for folder in folders):
            return name
    return next(iter(methods))


def _read_answers(folder: Path) -> MeasuredCases:
    key, measured = sha256(), MeasuredCases("", [], {})
    for row in _read_cases(read_run(folder).folder / AnsweredCase.file):
        key.update(digest(row.id, row.image.sha256, *(image.sha256 for image in row.more_images), row.truth).encode())
        measured.groups.append(sys.intern(row.group))
        for use, both in row.statistics.items():
            if use not in measured.statistics:
                measured.statistics[use] = tuple(StatisticsTable() for _ in both)
            for table, statistics in zip(measured.statistics[use], both, strict=True):
                table.extend([statistics])
    if not measured.groups:
        earlier = other(folder, "measures")
        raise DataError(f"{folder}: has no answers; finish it with `mmedpo run` and an 'evaluate:' section{earlier}")
    return replace(measured, key=key.hexdigest())


def _read_cases(answers: Path) -> Iterator[_ComparedCase]:
    """Yield the cases of a run's answers, if there are any: of many runs there are more than `RunFiles` reads soon."""
    for number, line in enumerate(text_lines(answers) if answers.exists() else (), 1):
        if line.strip():
            yield parse_line(_ComparedCase, answers, number, line)


def read_metrics(folder: Path) -> Sequence[EvaluationMetric]:
    """Return the metrics that a run was measured by. Raises DataError where there are none."""
    loaded = load_run_recipe(folder)
    if loaded.recipe.evaluate is None:
        raise DataError(f"{folder}: its recipe has no 'evaluate:', so nothing was measured")
    return metrics_of(loaded)


def require_comparable(methods: Sequence[MethodRuns], metrics: Sequence[EvaluationMetric]) -> None:
    """Require that methods are measured on the same cases by these metrics; tell where engines differ.

    Raises DataError.
    """
    _require_same_cases(methods)
    _require_same_trainings(methods)
    _require_same_metrics(methods, metrics)
    _tell_engines(methods)


def _require_same_trainings(methods: Sequence[MethodRuns]) -> None:
    """Require of methods that have trainings of one base and seed that these stand at one place."""
    first = methods[0]
    for method in methods:
        pairs = list(zip(first.trainings, method.trainings, strict=True))
        for at, (wanted, found) in enumerate(pairs):
            if wanted != found and {*first.trainings} & {*method.trainings}:
                raise DataError(
                    f"{first.runs[at]} and {method.runs[at]}: are not of one base and seed; name the runs of"
                    f" {first.name} and {method.name} in one order, and as many of each"
                )


def _require_same_cases(methods: Sequence[MethodRuns]) -> None:
    first = methods[0]
    for method in methods:
        if len(first.runs) != len(method.runs):
            raise DataError(
                f"{first.name} and {method.name}: compare as many runs with as many, one a seed, in one order;"
                f" there are {len(first.runs)} and {len(method.runs)}"
            )
        for folder, measured in zip(method.runs, method.measured, strict=True):
            if measured.key != first.measured[0].key:
                raise DataError(
                    f"{folder}: is not measured on the cases of {first.runs[0]}; evaluate both on the same data"
                )


def _require_same_metrics(methods: Sequence[MethodRuns], metrics: Sequence[EvaluationMetric]) -> None:
    """Require of each run the statistics of the first one's metrics."""
    for method in methods:
        for folder, measured in zip(method.runs, method.measured, strict=True):
            missing = [metric.use for metric in metrics if metric.use not in measured.statistics]
            if missing:
                first = methods[0].runs[0]
                difference = f"is not measured by {', '.join(missing)}, as {first} is"
                raise DataError(f"{folder}: {difference}; evaluate both by the same metrics")


def _tell_engines(methods: Sequence[MethodRuns]) -> None:
    """Tell where some runs were answered by an endpoint and others here."""
    if len({read_run(run).run.measured_elsewhere for method in methods for run in method.runs}) > 1:
        print_note("note: an endpoint answered for some of these runs and not for others; a difference may be its own")
