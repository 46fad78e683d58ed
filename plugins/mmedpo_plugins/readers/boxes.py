"""The reader of films with boxes, as COCO, NIH ChestX-ray and VinDr-CXR publish them: what a detector learns from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import starmap
from math import isfinite
from pathlib import Path
from typing import ClassVar, Literal

from mmedpo import Case, DataError, Drop, ExistingFile, ExistingFolder, ImageRef, Reader, Region, hookimpl
from mmedpo.data import ImageFolder, TableRow, collect_rows, csv_rows, is_number, json_value, show_value
from mmedpo_plugins.dicom.film import ENDINGS, film_ref

NOTHING = "No finding"  # VinDr's label of a film on which there is nothing
_SUFFIXES = ("", ".png", ".jpg", ".jpeg", ".dicom", ".dcm")  # VinDr names its films without one


@hookimpl
def mmedpo_readers() -> list[type[Reader]]:
    return [BoxesReader]


@dataclass
class _BoxFilm:
    """What a file says of one image."""

    row: TableRow
    regions: list[Region] = field(default_factory=list)
    group: str = ""


class BoxesReader(Reader):
    """Read films with boxes: COCO's JSON, NIH ChestX-ray's `BBox_List_2017.csv`, VinDr-CXR's annotations.

        data: {use: boxes, file: data/nih/BBox_List_2017.csv, images: data/nih/images, missing: skip}

    A case an image; its question is `question`, its answer the labels of its boxes. The form is told by the header, or
    by `.json` for COCO. Boxes must be in pixels of the images as they lie in the folder; VinDr's films may be its DICOM
    files. Films of COCO without a box and VinDr's "No finding" are cases without a region, from which a detector learns
    what is none. On each of VinDr's training films three radiologists drew: what several drew in one place counts once,
    and with `agreed: true` nothing else counts.
    """

    use: ClassVar[str] = "boxes"

    file: ExistingFile
    """The file of boxes, .csv or .json."""
    images: ExistingFolder | None = None
    """The folder of the images, where it is not the file's own."""
    question: str = "Which findings are marked on this film?"
    """The question of every film."""
    agreed: bool = False
    """Whether a box counts only where another radiologist drew one with its label there (IoU at least 0.3)."""
    missing: Literal["error", "skip"] = "error"
    """What to do about images that are not there: stop and name the first, or drop their films and count them."""

    def read(self) -> Iterator[Case | Drop]:
        """Yield a case an image, in the order of the file. Raise DataError with the place of what cannot be read."""
        images = ImageFolder([self.images or self.file.parent], self.missing)
        films = _read_coco(self.file) if self.file.suffix == ".json" else _read_csv(self.file, self.agreed)
        yield from images.complete(starmap(partial(self._make_case, images=images), films.items()))

    def _make_case(self, name: str, film: _BoxFilm, images: ImageFolder) -> Case | Drop:
        path = next((path for suffix in _SUFFIXES if (path := _find(images, name + suffix, film.row))), None)
        if path is None:
            images.find(name, film.row)  # so that it is told by its name in the file
            return images.drop(name)
        labels = list(dict.fromkeys(region.label for region in film.regions))
        return Case(
            name,
            replace(self.picture(path), place=film.row.place),
            self.question,
            ", ".join(labels) or NOTHING,
            group=film.group,
            regions=tuple(film.regions),
            restricted=self.restricted,
        )

    def picture(self, path: Path) -> ImageRef:
        """Name an image; a DICOM film is read as the reader dicom reads it."""
        return film_ref(path) if path.suffix.lower() in ENDINGS else ImageRef.at(path)


def _find(images: ImageFolder, name: str, row: TableRow) -> Path | None:
    """Return where an image is; unlike `images.find`, do not note that it is not there."""
    return images.find(name, row) if images.has(name, row) else None


def _read_csv(file: Path, agreed: bool) -> dict[str, _BoxFilm]:
    films: dict[str, _BoxFilm] = {}
    drawn: dict[str, dict[str, list[Region]]] = {}  # by film and radiologist
    for row, (name, who, region, group) in collect_rows(map(_read_row, csv_rows(file, require=_require_columns))):
        films.setdefault(name, _BoxFilm(row, group=group))
        if region:
            drawn.setdefault(name, {}).setdefault(who, []).append(region)
    for name, by_whom in drawn.items():
        films[name].regions = _merge_radiologists(list(by_whom.values()), agreed)
    return films


_BoxRow = tuple[str, str, Region | None, str]  # the film, who drew the box, the box, the patient


def _require_columns(names: Sequence[str], place: str) -> None:
    if not any(columns <= set(names) for columns in _CSV):
        raise DataError(f"{place}: has neither the columns of NIH ChestX-ray nor those of VinDr-CXR")


def _read_row(row: TableRow) -> tuple[TableRow, _BoxRow]:
    read = next(read for columns, read in _CSV.items() if columns <= row.values.keys())
    return row, read(row)


def _read_nih(row: TableRow) -> _BoxRow:
    """Read a row of "Image Index,Finding Label,Bbox [x,y,w,h],,,", whose header has its commas unquoted."""
    name = row.text("Image Index")
    left, top, width, height = (_read_number(row, key) for key in ("Bbox [x", "y", "w", "h]"))
    region = _make_region(row, row.text("Finding Label"), left, top, left + width, top + height)
    return name, "", region, name.partition("_")[0]  # the number before the underscore is the patient's


def _read_vindr(row: TableRow) -> _BoxRow:
    name, label = row.text("image_id"), row.text("class_name")
    if label.casefold() == NOTHING.casefold():
        return name, row.get("rad_id"), None, ""
    sides = [_read_number(row, key) for key in ("x_min", "y_min", "x_max", "y_max")]
    return name, row.get("rad_id"), _make_region(row, label, *sides), ""


_CSV: Mapping[frozenset[str], Callable[[TableRow], _BoxRow]] = {
    frozenset({"Image Index", "Finding Label", "Bbox [x", "y", "w", "h]"}): _read_nih,
    frozenset({"image_id", "class_name", "x_min", "y_min", "x_max", "y_max"}): _read_vindr,
}


def _merge_radiologists(drawn: Sequence[list[Region]], agreed: bool) -> list[Region]:
    """Return one box where several radiologists drew the same, or only what two of them drew."""
    kept: list[Region] = []
    for place, mine in enumerate(drawn):
        others = [region for at, some in enumerate(drawn) if at != place for region in some]
        confirmed = [one for one in mine if not agreed or any(_is_same_box(one, other) for other in others)]
        earlier = list(kept)  # a radiologist's own boxes may overlap each other
        kept += [one for one in confirmed if not any(_is_same_box(one, other) for other in earlier)]
    return kept


def _is_same_box(one: Region, other: Region) -> bool:
    left, top = max(one.box[0], other.box[0]), max(one.box[1], other.box[1])
    right, bottom = min(one.box[2], other.box[2]), min(one.box[3], other.box[3])
    shared = max(0.0, right - left) * max(0.0, bottom - top)
    whole = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one.box, other.box)) - shared
    return one.label == other.label and shared / whole >= 0.3


def _read_coco(file: Path) -> dict[str, _BoxFilm]:
    value = json_value(file)
    if not isinstance(value, dict) or not all(isinstance(value.get(key), list) for key in _LISTS):
        raise DataError(f"{file}: is no COCO file; it needs the lists {', '.join(_LISTS)}")
    images, marks, categories = (
        [TableRow(f"{file}: {key}[{at}]", one) for at, one in enumerate(value[key])] for key in _LISTS
    )
    labels = {row.text("id"): row.text("name") for row in categories}
    names = {row.text("id"): row.text("file_name") for row in images}
    films = {row.text("file_name"): _BoxFilm(row, group=row.get("patient_id")) for row in images}
    for row in marks:
        name, label = names.get(row.text("image_id")), labels.get(row.text("category_id"))
        if name is None or label is None:
            raise row.wrong("names an image or a category that the file does not have")
        films[name].regions.append(_coco_region(row, label))
    return films


_LISTS = ("images", "annotations", "categories")


def _coco_region(row: TableRow, label: str) -> Region:
    box = row.values.get("bbox")
    if not isinstance(box, list) or len(box) != 4 or not all(map(is_number, box)):
        raise row.wrong(f"'bbox' must be [left, top, width, height], not {show_value(box)}")
    left, top, width, height = map(float, box)
    return _make_region(row, label, left, top, left + width, top + height)


def _make_region(row: TableRow, label: str, left: float, top: float, right: float, bottom: float) -> Region:
    if not (left < right and top < bottom and all(map(isfinite, (left, top, right, bottom)))):
        raise row.wrong(f"the box of {label!r} is empty")
    return Region(label, (left, top, right, bottom))


def _read_number(row: TableRow, key: str) -> float:
    try:
        return float(row.text(key))
    except ValueError:
        raise row.wrong(f"{key!r} must be a number, not {show_value(row.values[key])}") from None
