"""Draw the films that a base is made from, several at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from typing import Any

import numpy as np
import torch
from mmedpo_plugins.phantom.anatomy import SIZE
from mmedpo_plugins.phantom.film import PhantomFilm, PhantomVersion, film_of
from mmedpo_plugins.phantom.findings import LABELS, PhantomFinding, PhantomWorld

TARGETS = 3 * len(LABELS)  # per patch: covered, covered on the left, covered by a large one
FilmMap = Callable[..., Iterable[Any]]  # `map`, or one that works in several processes
FilmRow = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], tuple[PhantomFinding, ...]]


@dataclass(frozen=True)
class FilmTensors:
    """Films as the training needs them."""

    images: torch.Tensor  # (n, 112, 112), uint8
    targets: torch.Tensor  # (n, patches, 18), bool
    findings: list[tuple[PhantomFinding, ...]]

    def first(self, count: int) -> FilmTensors:
        """Return the first films alone."""
        return FilmTensors(self.images[:count], self.targets[:count], self.findings[:count])

    def to(self, device: str) -> FilmTensors:
        """Return them on a device."""
        return FilmTensors(self.images.to(device), self.targets.to(device), self.findings)


@dataclass(frozen=True)
class FilmSource:
    """Films of a split."""

    world: PhantomWorld
    seed: int
    version: PhantomVersion
    patch: int
    split: str = "base"

    def row(self, number: int) -> FilmRow:
        """Draw one film."""
        film = film_of(self.world, self.seed, self.split, number, self.version)
        return film.pixels, patch_targets(film, self.patch), film.findings

    def draw(self, count: int, each: FilmMap = map) -> FilmTensors:
        """Draw the first films; which process draws a film changes nothing."""
        return gather(each(self.row, range(count)))


@contextmanager
def open_workers(count: int) -> Iterator[FilmMap]:
    """Yield a `map` that works in so many processes; they are forks, so a GPU is looked at afterwards."""
    if count == 1:
        yield map
        return
    with ProcessPoolExecutor(count, mp_context=get_context("fork")) as pool:
        list(pool.map(abs, range(count)))  # now they are there
        yield partial(pool.map, chunksize=100)


def gather(rows: Iterable[FilmRow]) -> FilmTensors:
    """Take films together."""
    images, targets, findings = zip(*rows, strict=True)
    return FilmTensors(torch.from_numpy(np.stack(images)), torch.from_numpy(np.stack(targets)), list(findings))


def patch_targets(film: PhantomFilm, patch: int) -> np.ndarray[Any, Any]:
    """Return which finding covers each patch, (patches, 18)."""
    side = SIZE // patch
    out = np.zeros((3, len(LABELS), side * side), np.bool_)
    for finding, mask in zip(film.findings, film.masks, strict=True):
        share = mask.reshape(side, patch, side, patch).mean((1, 3)).reshape(-1)
        covered = (share > 0.1) | (share == share.max())
        told = np.array([[True], [finding.side == "left"], [finding.size == "large"]])
        out[:, LABELS.index(finding.label)] = covered & told
    return out.reshape(TARGETS, side * side).T
