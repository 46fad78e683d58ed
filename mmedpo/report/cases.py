"""The evaluation cases: answered better after training, answered worse, and where the models looked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mmedpo.core.images import ImageRef
from mmedpo.core.records import digest
from mmedpo.evaluate.direction import mean_gain
from mmedpo.report.album import ImageAlbum, ImagePanel
from mmedpo.report.words import TextPiece, mark_differences
from mmedpo.store.run_files.measures import AnsweredCase, AttendedCase

SHOWN = 12  # cases of each sort
DRAWN = 6  # cases drawn at random, which show what most look like


@dataclass(frozen=True)
class CaseCard:
    """A case with its answers."""

    row: AnsweredCase
    panel: ImagePanel
    before: list[TextPiece]  # marked where it differs from the truth
    after: list[TextPiece]


@dataclass(frozen=True)
class AttentionCase:
    """A case with the model's attention before and after."""

    row: AnsweredCase
    panels: list[ImagePanel]
    shares: list[float]
    area: float
    before: list[TextPiece]
    after: list[TextPiece]


def gains(answers: Sequence[AnsweredCase]) -> list[tuple[float, AnsweredCase]]:
    """Return the cases that a metric compared, each with its mean gain."""
    return [(mean_gain(row.gain), row) for row in answers if row.gain]


def changed(
    answers: Sequence[AnsweredCase], way: int, album: ImageAlbum, most: int = SHOWN
) -> tuple[list[CaseCard], int]:
    """Return the cases that changed most in one direction (1: better, -1: worse), and how many did at all."""
    found = [(gain, row) for gain, row in gains(answers) if gain * way > 1e-9]
    found.sort(key=lambda one: (-one[0] * way, digest(one[1].id)))
    return [_answered(row, album) for _, row in found[:most]], len(found)


def drawn(answers: Sequence[AnsweredCase], album: ImageAlbum, most: int = DRAWN) -> list[CaseCard]:
    """Return some cases whatever became of them; which ones depends on their ids alone."""
    return [_answered(row, album) for row in sorted(answers, key=lambda row: digest(row.id))[:most]]


def _answered(row: AnsweredCase, album: ImageAlbum) -> CaseCard:
    return CaseCard(row, album.film(picture_of(row), "image", row.regions), *_marked(row))


def _marked(row: AnsweredCase) -> tuple[list[TextPiece], list[TextPiece]]:
    """Return the answers before and after, marked where they differ from the truth."""
    return mark_differences(row.before, row.truth)[0], mark_differences(row.after or "", row.truth)[0]


def picture_of(row: AnsweredCase) -> ImageRef:
    """Return the image of an answered case."""
    return ImageRef(row.image.path, row.image.sha256)


def seen(
    attention: Sequence[AttendedCase], answers: Sequence[AnsweredCase], album: ImageAlbum, most: int = SHOWN
) -> list[AttentionCase]:
    """Return cases by how much the share of attention inside the lesion rose: the first, some in the middle, the last.

    Where there is no after, by the share itself.
    """
    known = {row.id: row for row in answers}
    able = [row for row in attention if row.id in known and len(_shares(row)) == len(row.sides)]
    able.sort(key=lambda row: (_rise(row), row.id))
    if len(able) > most:
        third, middle = most // 3, len(able) // 2
        able = able[:third] + able[middle - third // 2 : middle + third - third // 2] + able[-third:]
    return [_seen(row, known[row.id], album) for row in reversed(able)]


def _rise(row: AttendedCase) -> float:
    before, *after = _shares(row)
    return after[0] - before if after else before


def _shares(row: AttendedCase) -> list[float]:
    """Return the shares inside the lesion, of the sides that have one."""
    return [side.inside for side in row.sides if side.inside is not None]


def _seen(row: AttendedCase, answered: AnsweredCase, album: ImageAlbum) -> AttentionCase:
    import numpy as np

    picture, shares = picture_of(answered), _shares(row)
    heats = [np.asarray(side.map) / np.sum(side.map) for side in row.sides]
    most = max(float(heat.max()) for heat in heats)  # one scale for both
    captions = [f"{name}: {share:.0%} inside" for name, share in zip(("before", "after"), shares, strict=False)]
    panels = [album.film(picture, "image", row.regions)]
    for heat, caption in zip(heats, captions, strict=True):
        panels.append(album.heated(picture, heat / most, caption, row.regions))
    return AttentionCase(answered, panels, shares, row.before.area or 0.0, *_marked(answered))
