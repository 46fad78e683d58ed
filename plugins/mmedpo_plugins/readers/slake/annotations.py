"""Boxes and masks beside an image of SLAKE."""

from __future__ import annotations

import re
from dataclasses import replace
from math import ceil, floor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmedpo import DataError, ImageRef, Region
from mmedpo.data import TableRow, is_number, json_value, show_value, text_lines

if TYPE_CHECKING:
    import numpy as np

    Values = np.ndarray[Any, Any]

_LESION = re.compile(
    r"cancer|tumou?r|edema|mass\b|nodule|pneumonia|pneumothorax|effusion|infiltrat|atelectasis|cardiomegaly|lesion",
    re.IGNORECASE,
)
# What the grey values of a mask.png stand for, from the data set's mask.txt, which is not in every copy.
_LESION_GREYS = {
    95: "Brain Edema",
    140: "Brain Non-enhancing Tumor",
    150: "Kidney Cancer",
    175: "Liver Cancer",
    185: "Brain Enhancing Tumor",
    245: "Lung Cancer",
}


class SlakeAnnotations:
    """Give the regions of images, each looked up once."""

    def __init__(self, root: Path, organs: bool, masks: bool) -> None:
        """Take the data set's folder, and whether organs are regions too and lesions get masks."""
        self._organs, self._masks = organs, masks
        listed = root / "mask.txt"
        self._greys = (_read_greys(listed) if listed.is_file() else _LESION_GREYS) if masks else {}
        self._known: dict[Path, tuple[Region, ...]] = {}

    def of(self, image: Path) -> tuple[Region, ...]:
        """Return the regions of an image. Raises DataError for a file beside it that cannot be read."""
        folder = image.parent
        if folder not in self._known:
            boxes = [item for item in _read_boxes(folder / "detection.json") if self._organs or is_lesion(item.label)]
            greys = {label: grey for grey, label in self._greys.items() if is_lesion(label)}
            mask = folder / "mask.png"
            self._known[folder] = tuple(_add_masks(boxes, mask, image, greys) if mask.is_file() and greys else boxes)
        return self._known[folder]


def is_lesion(label: str) -> bool:
    """Tell the label of a lesion from that of an organ."""
    return bool(_LESION.search(label))


def _read_greys(file: Path) -> dict[int, str]:
    """Read lines such as `175:Liver Cancer`."""
    pairs = [line.partition(":") for line in text_lines(file) if line.strip()]
    for number, (grey, _, label) in enumerate(pairs, start=1):
        if not (grey.strip().isdigit() and label.strip()):
            raise DataError(f"{file}:{number}: expected a grey value and what it stands for, as in '175:Liver Cancer'")
    return {int(grey): label.strip() for grey, _, label in pairs}


def _read_boxes(file: Path) -> list[Region]:
    """Read [{"Liver": [left, top, width, height]}, ...]; an image without the file has no boxes."""
    if not file.is_file():
        return []
    value = json_value(file)
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise DataError(f'{file}: expected a list of boxes, [{{"Liver": [left, top, width, height]}}, ...]')
    every = [_make_region(TableRow(str(file), item), label, box) for item in value for label, box in item.items()]
    return [region for region in every if region.box[0] < region.box[2] and region.box[1] < region.box[3]]


def _make_region(row: TableRow, label: str, box: Any) -> Region:
    if not isinstance(box, list) or len(box) != 4 or not all(map(is_number, box)):
        raise row.wrong(f"the box of {label!r} must be [left, top, width, height], not {show_value(box)}")
    left, top, width, height = map(float, box)
    return Region(label.strip(), (left, top, left + width, top + height))


def _add_masks(boxes: list[Region], file: Path, image: Path, greys: dict[str, int]) -> list[Region]:
    """Give lesions the part of the mask within their box, and those without a box the whole of their mask."""
    import numpy as np

    values = np.asarray(ImageRef.at(file).load().convert("L"))
    if not np.isin(values, list(greys.values())).any():
        return boxes
    _require_size(file, values, image)
    regions = [_mask_region(region, values == greys.get(region.label, -1)) for region in boxes]
    boxed = {region.label for region in boxes}
    others = {label: values == grey for label, grey in sorted(greys.items()) if label not in boxed}
    return regions + [
        _mask_region(Region(label, _bounding_box(inside)), inside) for label, inside in others.items() if inside.any()
    ]


def _require_size(file: Path, values: Values, image: Path) -> None:
    height, width = values.shape
    size = ImageRef.at(image).load().size
    if size != (width, height):
        sizes = f"is {width} x {height} pixels, its image {size[0]} x {size[1]}"
        raise DataError(f"{file}: {sizes}; read boxes alone with data.masks=false")


def _mask_region(region: Region, inside: Values) -> Region:
    """Return the region with its mask, if any of it is within the box."""
    import numpy as np
    from PIL import Image as pil

    left, top = (max(0, floor(value)) for value in region.box[:2])
    right, bottom = (max(0, ceil(value)) for value in region.box[2:])
    mask = np.zeros(inside.shape, dtype=np.uint8)
    mask[top:bottom, left:right] = inside[top:bottom, left:right] * np.uint8(255)
    return replace(region, mask=ImageRef.drawn(pil.fromarray(mask))) if mask.any() else region


def _bounding_box(inside: Values) -> tuple[float, float, float, float]:
    import numpy as np

    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)
