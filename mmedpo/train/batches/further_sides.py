"""What losses want to know of a pair beside its two sides: other answers, other images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmedpo.core.images import ImageInMemory, ImageRef
from mmedpo.core.records import Side, WeightedPair
from mmedpo.recipe.train_options import TrainOptions
from mmedpo.registry.conformance.loss import list_further_sides


def name_further_sides(pairs: Sequence[WeightedPair], options: TrainOptions, seed: int) -> list[dict[str, Side]]:
    """Return for each pair the sides that the losses named, under the loss's number and its name for them.

    A loss is asked of the pairs that it is of, and of no others.
    """
    named: list[dict[str, Side]] = [{} for _ in pairs]
    for number, loss in enumerate(options.loss):
        of = [index for index, weighted in enumerate(pairs) if loss.is_of(weighted.pair.kind, weighted.pair.case.kind)]
        sides = list_further_sides(loss, [pairs[index].pair for index in of], seed)
        for index, found in zip(of, sides, strict=True):
            named[index] |= {f"{number}.{name}": side for name, side in sorted(found.items())}
    return named


def list_own(options: TrainOptions) -> frozenset[str]:
    """Return the names of the sides in which the model's own tokens take the place of the answer's."""
    return frozenset(f"{number}.{name}" for number, loss in enumerate(options.loss) for name in loss.own_tokens)


def describe_sides(
    sides: Mapping[str, Side], own: frozenset[str] = frozenset(), makers: Sequence[str] = ()
) -> dict[str, Any]:
    """Return what tells sides from others, wherever their images lie, and which are of the model's own tokens.

    `makers` tell the source code of each loss from its others: it draws the images that are only promised.
    """
    return {
        name: [*_describe_images(side.images, name, makers), side.answer, *(["own"] if name in own else [])]
        for name, side in sides.items()
    }


def _describe_images(images: Sequence[ImageRef], name: str, makers: Sequence[str]) -> list[Any]:
    promised = any(isinstance(image.held, ImageInMemory) and not image.sha256 for image in images)
    maker = [[makers[int(name.partition(".")[0])]]] if promised and makers else []  # names begin with the loss's number
    return [*map(_describe_image, images), *maker]


def _describe_image(image: ImageRef) -> str:
    if image.sha256:
        return image.sha256
    return image.held.source if isinstance(image.held, ImageInMemory) else image.path
