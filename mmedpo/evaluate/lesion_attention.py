"""Does the model look at the lesion? Its attention while it answers, before and after, and how much of it is inside.

Of a case with several images, that is its attention to the first. What falls beside the image, on padding for one, is
not inside: a share is always one of all attention to the image's tokens, and so is what it is held against.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from mmedpo.core.images import ImageRef
from mmedpo.core.records import Case, Region, seed_for
from mmedpo.errors import DataError
from mmedpo.evaluate.answering import EvaluationAnswers
from mmedpo.registry.contracts.backbone import Backbone
from mmedpo.registry.contracts.metric import Statistics
from mmedpo.runtime.context import RunContext
from mmedpo.runtime.slice_work import SliceWork
from mmedpo.runtime.slices import work_by_slice
from mmedpo.runtime.stage_parts import StageParts, open_parts
from mmedpo.store.run_files.measures import AttendedCase, AttentionSide, list_boxes

if TYPE_CHECKING:
    import numpy as np

    from mmedpo.models import ImageAttention

    Array = np.ndarray[Any, Any]


class LesionAttentionMetric:
    """The share of the attention to the image that lies inside the lesion, and what even attention would give.

    And the share that falls beside the image.
    """

    use = "attention"
    additive = False
    better: ClassVar[dict[str, int]] = {"inside_lesion": 1}

    def combine(self, statistics: Sequence[Statistics]) -> dict[str, float]:
        """Return mean shares over the cases that have a map."""
        mapped = [row for row in statistics if "inside" in row]
        if not mapped:
            return {}
        names = {"inside_lesion": "inside", "inside_by_chance": "chance", "beside_image": "beside"}
        means = {name: sum(row[share] for row in mapped) / len(mapped) for name, share in names.items()}
        return means | {"attention_count": float(len(mapped))}


@dataclass(frozen=True)
class AttentionMaps:
    """Where the model looked: cases by their index, and of each model a map for each."""

    indices: list[int]
    maps: list[list[ImageAttention]]  # before, and after where there is an after


def lesions_of(case: Case) -> tuple[Region, ...]:
    """Return the first image's regions that a question is about; all of them where the data do not say what it is."""
    there = (region for region in case.regions if region.image == 0)
    return tuple(region for region in there if not case.about or region.label in case.about)


def choose_cases(cases: Sequence[Case], count: int, seed: int) -> list[int]:
    """Draw the indices of so many cases that have a lesion; which ones does not depend on the others' order."""
    able = [index for index, case in enumerate(cases) if lesions_of(case)]
    drawn = sorted(able, key=lambda index: seed_for(seed, "attention", cases[index].id))
    return sorted(drawn[:count])


def map_attention(run: RunContext, count: int, answers: EvaluationAnswers) -> AttentionMaps:
    """Map the attention of each model to some of the cases, by its own answers. Raises DataError for no region."""
    indices = choose_cases(answers.cases, count, run.recipe.seed)
    if not indices:
        raise DataError("evaluate.attention: no case of the evaluation has a region of what its question is about")
    stages = ("evaluate: attention before", "evaluate: attention after")
    maps = []
    for side, stage in zip(answers.sides, stages, strict=False):
        answered = [(answers.cases[index], side.texts[index]) for index in indices]
        maps.append(_map_answers(run, side.backbone, answered, stage))
    return AttentionMaps(indices, maps)


def _map_answers(
    run: RunContext, backbone: Backbone, answered: list[tuple[Case, str]], stage: str
) -> list[ImageAttention]:
    with open_parts(run) as opened:
        facts = ["over the image, and beside it"]  # what the maps lie over; part of what they are remembered by
        work = AttentionWork(backbone, "evaluate.attention")
        slices = work_by_slice(opened, work, answered, _read_maps, stage=stage, facts=facts)
    return [heat for maps in slices for heat in maps]


@dataclass(frozen=True)
class AttentionWork(SliceWork[tuple[Case, str]]):
    """A look at where a model looks while it answers."""

    part: Backbone

    def do(self, opened: StageParts, some: Sequence[tuple[Case, str]]) -> Any:
        """Return a map for each case and its answer."""
        from mmedpo.models import attention_maps

        maps = attention_maps(opened(self.part), [case for case, _ in some], [answer for _, answer in some])
        return [_write_map(first) for first, *_ in maps]


def _write_map(seen: ImageAttention) -> dict[str, Any]:
    grids = {name: [[_round(value) for value in row] for row in getattr(seen, name)] for name in ("heat", "even")}
    return grids | {"beside": _round(seen.beside)}


def _round(value: float) -> float:
    return float(f"{value:.5g}")


def _read_maps(value: Any, answered: Sequence[Any]) -> list[ImageAttention]:
    """Rebuild the maps of a slice. Raises ValueError for what are none."""
    import numpy as np

    from mmedpo.models import ImageAttention

    maps = [
        ImageAttention(np.array(one["heat"], float), np.array(one["even"], float), float(one["beside"]))
        for one in value
    ]
    if len(maps) != len(answered) or any(seen.heat.ndim != 2 or seen.heat.shape != seen.even.shape for seen in maps):
        raise ValueError("these are no maps of the cases that were asked about")
    return maps


def measure_maps(attention: AttentionMaps, cases: Sequence[Case]) -> list[list[Statistics]]:
    """Return for each model and each of all cases the share of its attention inside the lesion, and chance's."""
    statistics: list[list[Statistics]] = []
    for maps in attention.maps:
        rows: list[dict[str, float]] = [{} for _ in cases]
        for index, seen in zip(attention.indices, maps, strict=True):
            rows[index] = share_inside(seen, cases[index])
        statistics.append(list(rows))
    return statistics


def share_inside(seen: ImageAttention, case: Case) -> dict[str, float]:
    """Return the shares inside the case's lesion, there by chance and beside the image; {} for an empty map."""
    covered = cover_grid(lesions_of(case), case.image, seen.heat.shape)
    if not seen.total or not covered.sum():
        return {}
    inside, chance = float((seen.heat * covered).sum()) / seen.total, float((seen.even * covered).sum())
    return {"inside": inside, "chance": chance, "beside": seen.beside / seen.total}


def cover_grid(regions: Sequence[Region], image: ImageRef, shape: tuple[int, ...]) -> Array:
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


def attended_cases(attention: AttentionMaps, cases: Sequence[Case]) -> Iterator[AttendedCase]:
    """Yield each case that has maps: these, and the share inside the lesion."""
    for index, *maps in zip(attention.indices, *attention.maps, strict=True):
        case = cases[index]
        before, *after = [_attention_side(seen, case) for seen in maps]
        aligned = after[0] if after else None
        yield AttendedCase(id=case.id, regions=list_boxes(lesions_of(case)), before=before, after=aligned)


def _attention_side(seen: ImageAttention, case: Case) -> AttentionSide:
    shares = seen.heat / (seen.total or 1)
    return AttentionSide(map=[[_round(value) for value in row] for row in shares], **share_inside(seen, case))
