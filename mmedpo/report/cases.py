"""The evaluation cases: answered better after training, answered worse, and where the models looked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from mmedpo.core.first_items import FirstItems
from mmedpo.core.images import ImageRef
from mmedpo.core.records import digest
from mmedpo.report.album import ImageAlbum, ImagePanel, number_caption
from mmedpo.report.words import TextPiece, mark_differences
from mmedpo.store.run_files.measures import AnsweredCase, AttendedCase

SHOWN = 12  # cases whose attention is shown
POINTS = 2000  # of a chart: more make a page that no browser likes to draw


@dataclass(frozen=True)
class CaseCard:
    """A case with its answers."""

    row: AnsweredCase
    panels: list[ImagePanel]
    before: list[TextPiece]  # marked where it differs from the truth
    after: list[TextPiece]


@dataclass(frozen=True)
class AttentionCase:
    """A case with the model's attention before and after."""

    row: AnsweredCase
    panels: list[ImagePanel]
    shares: list[float]
    chance: float
    beside: list[float]
    before: list[TextPiece]
    after: list[TextPiece]


def answered_cards(rows: Iterable[AnsweredCase], album: ImageAlbum) -> list[CaseCard]:
    """Make a card of each case."""
    return [CaseCard(row, list(_films(row, album)) if album.shows else [], *_marked(row)) for row in rows]


def _films(row: AnsweredCase, album: ImageAlbum) -> Iterator[ImagePanel]:
    """Show the images of a case with its regions."""
    files = (row.image, *row.more_images)
    for at, file in enumerate(files):
        regions = [region for region in row.regions if region.image == at]
        yield album.film(ImageRef(file.path, file.sha256), f"image{number_caption(at, len(files))}", regions)


def _marked(row: AnsweredCase) -> tuple[list[TextPiece], list[TextPiece]]:
    """Return the answers before and after, marked where they differ from the truth."""
    return mark_differences(row.before, row.truth)[0], mark_differences(row.after or "", row.truth)[0]


def picture_of(row: AnsweredCase) -> ImageRef:
    """Return the image of an answered case."""
    return ImageRef(row.image.path, row.image.sha256)


@dataclass(frozen=True)
class AttentionChoice:
    """The cases whose attention is shown, and the shares inside the lesion of some, before and after."""

    shown: list[AttendedCase]
    shares: list[tuple[float, float]]


def choose_attention(attention: Sequence[AttendedCase], most: int = SHOWN) -> AttentionChoice:
    """Choose cases by how much the share of attention inside the lesion rose: first, some in the middle, last.

    Where there is no after, by the share itself.
    """
    able, points = [], FirstItems[tuple[float, float]](POINTS)
    for place, row in enumerate(attention):
        shares = _shares(row)
        if len(shares) == len(row.sides):
            able.append((_rise(row), row.id, place))
        if len(shares) == 2:
            points.add(digest(row.id), (shares[0], shares[1]))
    able.sort()
    if len(able) > most:
        third, middle = most // 3, len(able) // 2
        able = able[:third] + able[middle - third // 2 : middle + third - third // 2] + able[-third:]
    return AttentionChoice([attention[place] for *_, place in reversed(able)], list(points))


def attention_cards(
    rows: Sequence[AttendedCase], answers: Iterable[AnsweredCase], album: ImageAlbum
) -> list[AttentionCase]:
    """Make a card of each case that has an answer."""
    wanted = {row.id for row in rows}
    known = {row.id: row for row in answers if row.id in wanted} if wanted else {}
    return [_seen(row, known[row.id], album) for row in rows if row.id in known]


def _rise(row: AttendedCase) -> float:
    before, *after = _shares(row)
    return after[0] - before if after else before


def _shares(row: AttendedCase) -> list[float]:
    """Return the shares inside the lesion, of the sides that have one."""
    return [side.inside for side in row.sides if side.inside is not None]


def _seen(row: AttendedCase, answered: AnsweredCase, album: ImageAlbum) -> AttentionCase:
    shares, beside = _shares(row), [side.beside or 0.0 for side in row.sides]
    panels = _heat_maps(row, picture_of(answered), shares, album) if album.shows else []
    return AttentionCase(answered, panels, shares, row.before.chance or 0.0, beside, *_marked(answered))


def _heat_maps(row: AttendedCase, picture: ImageRef, shares: Sequence[float], album: ImageAlbum) -> list[ImagePanel]:
    """Show the film, and where the model looked before and after."""
    import numpy as np

    heats = [np.asarray(side.map) for side in row.sides]
    most = max(float(heat.max()) for heat in heats) or 1.0  # one scale for both
    captions = [f"{name}: {share:.0%} inside" for name, share in zip(("before", "after"), shares, strict=False)]
    panels = [album.film(picture, "image", row.regions)]
    for heat, caption in zip(heats, captions, strict=True):
        panels.append(album.heated(picture, heat / most, caption, row.regions))
    return panels
