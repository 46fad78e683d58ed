"""What the vision tower makes of images, looked at once by several processes: each at its share, read by all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mmedpo.models.vision.tensor_store import TensorStore
from mmedpo.models.vision.vision_cache import VisionCache, VisionSource
from mmedpo.runtime.processes import broadcast_from_first, gather_objects, get_rank, get_world_size

FULL = "the disk is nearly full"
ROUND = 8  # images that a process looks at before the others hear of it


def share_features(
    vision: VisionCache, model: Any, images: Sequence[VisionSource], divided: bool, advance: Callable[[int], None]
) -> None:
    """Look once at every image, each process at its share; afterwards all processes can read all of it, or none.

    `divided` says that the processes are about to divide the model, so that none can look at an image by itself.
    """
    store = vision.store
    if not isinstance(store, TensorStore):
        return
    paths = gather_objects(store.path)
    beside = [path for path in paths if path != store.path]
    store.read_beside(beside)
    missing = broadcast_from_first([number for number, image in enumerate(images) if image.image not in store])
    advance(len(images) - len(missing))
    size = ROUND * get_world_size()
    for start in range(0, len(missing), size):
        part = missing[start : start + size]
        vision.fill(model, [images[number] for number in part[get_rank() :: get_world_size()]])
        vision.why_not = next(filter(None, gather_objects(vision.why_not)), "")
        advance(len(part))
    store.read_beside(beside)
    if divided and not all(gather_objects(all(image.image in store for image in images))):
        vision.why_not = vision.why_not or FULL
