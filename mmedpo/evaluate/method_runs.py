"""What a comparison needs of measured runs: the statistics of each case, and which runs are one method's."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from mmedpo.core.records import digest
from mmedpo.errors import DataError
from mmedpo.evaluate.metrics import EvaluationMetric, metrics_of
from mmedpo.evaluate.statistics_table import StatisticsTable
from mmedpo.recipe.run_recipe import load_run_recipe
from mmedpo.store.result_keys import other
from mmedpo.store.run_files.reader import read_run


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

    @property
    def bases(self) -> list[str]:
        """Return what each run's model was before any adapter; trainings of one base are alike."""
        backbones = [read_run(run).run.recipe["backbone"] for run in self.runs]
        return [digest({**backbone, "adapter": None, "answers": None}) for backbone in backbones]

    def statistics(self, use: str) -> list[StatisticsTable]:
        """Return each run's statistics of a metric, by case."""
        return [one.statistics[use][self.side] for one in self.measured]


def open_method(text: str) -> MethodRuns:
    """Read the runs of a method: folders by comma. Raises DataError where one has no answers."""
    folders = tuple(Path(part) for part in text.split(","))
    measured = tuple(_read_answers(folder) for folder in folders)
    return MethodRuns(", ".join(dict.fromkeys(folder.name for folder in folders)), folders, measured, -1)


def _read_answers(folder: Path) -> MeasuredCases:
    key, measured = sha256(), MeasuredCases("", [], {})
    for row in read_run(folder).answers():
        key.update(digest(row.id, row.image.sha256, *(image.sha256 for image in row.more_images), row.truth).encode())
        measured.groups.append(sys.intern(row.group))
        for use, both in row.statistics.items():
            tables = measured.statistics.setdefault(use, tuple(StatisticsTable() for _ in both))
            for table, statistics in zip(tables, both, strict=True):
                table.extend([statistics])
    if not measured.groups:
        earlier = other(folder, "measures")
        raise DataError(f"{folder}: has no answers; finish it with `mmedpo run` and an 'evaluate:' section{earlier}")
    return replace(measured, key=key.hexdigest())


def read_metrics(folder: Path) -> Sequence[EvaluationMetric]:
    """Return the metrics that a run was measured by. Raises DataError where there are none."""
    loaded = load_run_recipe(folder)
    if loaded.recipe.evaluate is None:
        raise DataError(f"{folder}: its recipe has no 'evaluate:', so nothing was measured")
    return metrics_of(loaded)
