"""Does the model look at the lesion? Its attention while it answers, before and after, and how much of it is inside."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from mmedpo.core.images import ImageRef
from mmedpo.core.records import Case, Region, seed_for
from mmedpo.errors import DataError
from mmedpo.registry.contracts.backbone import Backbone
from mmedpo.registry.contracts.metric import Metric, Statistics
from mmedpo.runtime.context import RunContext
from mmedpo.runtime.slices import work_by_slice
from mmedpo.runtime.stage_parts import open_parts
from mmedpo.store.run_files.measures import AttendedCase, AttentionSide, list_boxes

Map = list[list[float]]  # rows, columns of image tokens


class LesionAttentionMetric(Metric):
    """The share of the attention to the image that lies inside the lesion, and what even attention would give."""

    use = "attention"
    better: ClassVar[dict[str, int]] = {"inside_lesion": 1}

    def measure(self, cases: Sequence[Case], answers: Sequence[str]) -> list[Statistics]:
        """Refuse: what is counted here needs the open model."""
        raise NotImplementedError("attention is counted where it is looked at")

    def combine(self, statistics: Sequence[Statistics]) -> dict[str, float]:
        """Return mean shares over the cases that were looked at."""
        looked = [row for row in statistics if "inside" in row]
        if not looked:
            return {}
        inside, area = (sum(row[name] for row in looked) / len(looked) for name in ("inside", "area"))
        return {"inside_lesion": inside, "inside_by_chance": area, "attention_count": float(len(looked))}


@dataclass(frozen=True)
class AttentionMaps:
    """Where the model looked: cases by their place, and of each model a map for each."""

    places: list[int]
    maps: list[list[Map]]  # before, and after where there is an after


def lesions(case: Case) -> tuple[Region, ...]:
    """Return the regions that a question is about; all of the image's where the data do not say what it is about."""
    if not case.about:
        return case.regions
    return tuple(region for region in case.regions if region.label in case.about)


def chosen(cases: Sequence[Case], count: int, seed: int) -> list[int]:
    """Draw the places of so many cases that have a lesion; which ones does not depend on the others' order."""
    able = [place for place, case in enumerate(cases) if lesions(case)]
    drawn = sorted(able, key=lambda place: seed_for(seed, "attention", cases[place].id))
    return sorted(drawn[:count])


def look(
    run: RunContext, count: int, cases: Sequence[Case], sides: Sequence[tuple[Backbone, Sequence[str]]]
) -> AttentionMaps:
    """Look at some of the cases with each model and its own answers. Raises DataError when no case has a region."""
    places = chosen(cases, count, run.recipe.seed)
    if not places:
        raise DataError("evaluate.attention: no case of the evaluation has a region of what its question is about")
    names = ["evaluate: attention before", "evaluate: attention after"]
    maps = []
    for (model, said), stage in zip(sides, names, strict=False):
        maps.append(_maps(run, model, [(cases[place], said[place]) for place in places], stage))
    return AttentionMaps(places, maps)


def _maps(run: RunContext, model: Backbone, asked: list[tuple[Case, str]], stage: str) -> list[Map]:
    with open_parts(run) as opened:

        def work(some: Sequence[tuple[Case, str]]) -> Any:
            from mmedpo.models.gradient_attention import attention_maps

            heats = attention_maps(opened(model), [case for case, _ in some], [said for _, said in some])
            return [[[float(f"{value:.5g}") for value in row] for row in heat] for heat in heats]

        over = ["over the image"]  # what the maps lie over; part of what they are remembered by
        slices = work_by_slice(run, model, asked, work, _heats, stage=stage, facts=over, lower="evaluate.attention")
    return [heat for some in slices for heat in some]


def _heats(value: Any, asked: Sequence[Any]) -> list[Map]:
    """Rebuild the maps of a slice. Raises ValueError for what are none."""
    heats = [[[float(cell) for cell in row] for row in heat] for heat in value]
    if len(heats) != len(asked) or any(len({len(row) for row in heat}) > 1 for heat in heats):
        raise ValueError("these are no maps of the cases that were asked about")
    return heats


def statistics_of(looked: AttentionMaps, cases: Sequence[Case]) -> list[list[Statistics]]:
    """Return for each model and each of all cases the share of its attention inside the lesion, and chance's."""
    statistics: list[list[Statistics]] = []
    for maps in looked.maps:
        rows: list[dict[str, float]] = [{} for _ in cases]
        for place, heat in zip(looked.places, maps, strict=True):
            rows[place] = inside(heat, cases[place])
        statistics.append(list(rows))
    return statistics


def inside(heat: Map, case: Case) -> dict[str, float]:
    """Return the share of a map inside the case's lesion, and the lesion's share of the image; {} for an empty map."""
    import numpy as np

    values = np.asarray(heat)
    covered = coverage(lesions(case), case.image, values.shape)
    if not values.sum() or not covered.sum():
        return {}
    return {"inside": float((values * covered).sum() / values.sum()), "area": float(covered.mean())}


def coverage(regions: Sequence[Region], image: ImageRef, shape: tuple[int, ...]) -> Any:
    """Return the share of each cell of a grid (rows, columns) over an image that regions cover."""
    import numpy as np
    from PIL import Image, ImageChops, ImageDraw

    covered = Image.new("L", image.load().size, 0)
    for region in regions:
        if region.mask:
            mask = region.mask.load().convert("L").point(lambda grey: 255 * (grey > 0))
            covered = ImageChops.lighter(covered, mask)
        else:
            left, top, right, bottom = region.box
            ImageDraw.Draw(covered).rectangle((left, top, right - 1, bottom - 1), fill=255)
    return np.asarray(covered.resize((shape[1], shape[0]), Image.Resampling.BOX), dtype=float) / 255


def attended_cases(looked: AttentionMaps, cases: Sequence[Case]) -> Iterator[AttendedCase]:
    """Yield each case that was looked at: its maps, and the share inside the lesion."""
    for at, place in enumerate(looked.places):
        case = cases[place]
        before, *after = [AttentionSide(map=maps[at], **inside(maps[at], case)) for maps in looked.maps]
        aligned = after[0] if after else None
        yield AttendedCase(id=case.id, regions=list_boxes(lesions(case)), before=before, after=aligned)
