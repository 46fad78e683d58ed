"""From the dose curves of trials and the weights of pairs to what a weighting gains, and how right that was."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import nan, prod
from pathlib import Path
from random import Random
from statistics import fmean
from typing import Literal

import numpy as np

from mmedpo import read_run

MEASURES = ("closed_accuracy", "f1", "false_claims")
BETTER = {"false_claims": -1}  # where less is better, a gain is a fall
Damage = Callable[[float], float]


@dataclass(frozen=True)
class DoseCurves:
    """What training without weights comes to, of one measure and loss: clean, and what each fault takes at a dose."""

    start: float
    clean: float
    damages: Mapping[str, Damage]

    def level(self, doses: Mapping[str, float]) -> float:
        """Return what a set with such a dose of each fault comes to.

        Each fault leaves a share of what is learned from good pairs; of several faults the shares multiply.
        """
        learned = self.clean - self.start
        return self.start + learned * prod(1 - self.damages[fault](dose) / learned for fault, dose in doses.items())

    def knows(self, faults: Iterable[str]) -> bool:
        """Tell whether each fault was measured."""
        return set(faults) <= set(self.damages)

    def gain(self, before: Mapping[str, float], after: Mapping[str, float]) -> float:
        """Return what another dose gains."""
        return self.level(after) - self.level(before)


def draw_curves(levels: Mapping[tuple[str, float], float], start: float) -> DoseCurves:
    """Make curves, straight between what was measured at each fault and dose."""
    clean = levels["none", 0]
    points: dict[str, list[tuple[float, float]]] = defaultdict(lambda: [(0.0, 0.0)])
    for (fault, dose), level in sorted(levels.items()):
        if dose:
            points[fault].append((dose, clean - level))
    return DoseCurves(start, clean, {fault: _interpolate(some) for fault, some in points.items()})


def _interpolate(points: Sequence[tuple[float, float]]) -> Damage:
    doses, damages = zip(*points, strict=True)
    return lambda dose: float(np.interp(dose, doses, damages))


def weigh_faults(run: Path) -> tuple[dict[str, float], dict[str, float]]:
    """Return each fault's share of a run's pairs, and of their weight."""
    count: dict[str, float] = defaultdict(float)
    weight: dict[str, float] = defaultdict(float)
    for item in read_run(run).pairs():
        fault = str(item.pair.notes.get("fault"))
        count[fault] += 1
        weight[fault] += item.weight
    pairs, whole = sum(count.values()), sum(weight.values())
    bad = [fault for fault in count if fault != "None"]
    return {fault: count[fault] / pairs for fault in bad}, {fault: weight[fault] / whole for fault in bad}


def read_levels(runs: Iterable[Path], when: Literal["before", "after"] = "after") -> dict[str, float]:
    """Return the mean of each measure over runs, before or after training, signed so that more is better."""
    found: dict[str, list[float]] = defaultdict(list)
    for run in runs:
        measured = read_run(run).measures
        assert measured is not None, run
        values = {name: value for metric in measured.measures for name, value in getattr(metric, when).items()}
        for name in MEASURES:
            found[name].append(BETTER.get(name, 1) * values[name])
    return {name: fmean(values) for name, values in found.items()}


def slope(predicted: Sequence[float], observed: Sequence[float]) -> float:
    """Return the slope of observed on predicted gains, through zero; nan where no gain was predicted."""
    squares = sum(p * p for p in predicted)
    return sum(p * o for p, o in zip(predicted, observed, strict=True)) / squares if squares else nan


def slope_interval(
    predicted: Sequence[float], observed: Mapping[tuple[str, str], Sequence[float]], draws: int = 2000
) -> tuple[float, float, float]:
    """Return the slope and its 95 % interval, when bases, and seeds within them, are drawn.

    `observed` has the gains of each base and seed, in the order of `predicted`.
    """
    random, seeds = Random(0), defaultdict(list)
    for base, seed in observed:
        seeds[base].append(observed[base, seed])
    slopes = sorted(_draw_slope(predicted, list(seeds.values()), random) for _ in range(draws))
    every = [gains for runs in seeds.values() for gains in runs]
    return slope(predicted, _mean_gains(every)), slopes[int(0.025 * draws)], slopes[int(0.975 * draws) - 1]


def _draw_slope(predicted: Sequence[float], bases: Sequence[Sequence[Sequence[float]]], random: Random) -> float:
    drawn = [random.choices(base, k=len(base)) for base in random.choices(bases, k=len(bases))]
    return slope(predicted, _mean_gains([gains for base in drawn for gains in base]))


def _mean_gains(runs: Sequence[Sequence[float]]) -> list[float]:
    return [fmean(gains) for gains in zip(*runs, strict=True)]
