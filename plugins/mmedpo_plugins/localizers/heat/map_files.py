"""Which file of a folder is the heat map of which image: by the image's own path, the case's id, or its mere name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mmedpo import Case, DataError

ENDINGS = (".npy", ".png")


@dataclass(frozen=True)
class HeatMapFile:
    """A file, and whether only its mere name says whose map it is."""

    path: Path
    by_stem: bool


def map_files(root: Path, cases: Sequence[Case]) -> list[Path | None]:
    """Return each case's map, or None where there is none. Raises DataError for a map that two images claim."""
    found = [_find_map(root, case) for case in cases]
    claims: dict[Path, dict[str, Case]] = defaultdict(dict)
    stems: dict[str, dict[str, Case]] = defaultdict(dict)
    for case, file in zip(cases, found, strict=True):
        stems[_image_stem(case)].setdefault(_image_key(case), case)
        if file:
            claims[file.path].setdefault(_image_key(case), case)
    for case, file in zip(cases, found, strict=True):
        if file:
            rivals = stems[_image_stem(case)] if file.by_stem else claims[file.path]
            _require_one_image(root, file.path, list(rivals.values()))
    return [file.path if file else None for file in found]


def candidate_names(case: Case) -> list[str]:
    """Return where the map of a case is looked for in the folder, without its ending, in this order."""
    return [name.as_posix() for name, _ in _candidate_names(case)]


def _find_map(root: Path, case: Case) -> HeatMapFile | None:
    image = Path(case.image.path).resolve()
    for name, by_stem in _candidate_names(case):
        for ending in ENDINGS:
            path = root / name.with_name(name.name + ending)
            if _is_inside(path, root) and path.is_file() and path.resolve() != image:
                return HeatMapFile(path, by_stem)
    return None


def _candidate_names(case: Case) -> Iterator[tuple[PurePosixPath, bool]]:
    """Yield the image's path from the longest on, the case's id, and the image's name alone.

    How much of the path is below the folder of the images is not known here, but that of the maps has the same below.
    """
    path = PurePosixPath(Path(case.image.path).as_posix())
    parts = (*path.parent.parts, path.stem)
    for start in range(path.is_absolute(), len(parts) - 1):
        yield PurePosixPath(*parts[start:]), False
    if PurePosixPath(case.id).name and case.id != path.stem:
        yield PurePosixPath(case.id), False
    yield PurePosixPath(path.stem), case.id != path.stem


def _is_inside(path: Path, root: Path) -> bool:
    """Tell whether a path stays in the folder: a case's id may be anything."""
    try:
        return ".." not in path.parts and path.is_relative_to(root) and path.stat() is not None
    except (OSError, ValueError):
        return False


def _image_key(case: Case) -> str:
    return case.image.sha256 or case.image.path


def _image_stem(case: Case) -> str:
    return Path(case.image.path).stem


def _require_one_image(root: Path, file: Path, rivals: Sequence[Case]) -> None:
    if len(rivals) > 1:
        one, other = (f"case {case.id!r} ({case.image.path})" for case in rivals[:2])
        below = candidate_names(rivals[0])[-2] if len(candidate_names(rivals[0])) > 1 else rivals[0].id
        raise DataError(
            f"{file}: is the map of two images, of {one} and of {other}; lay the maps out below {root} as the images "
            f"are, or name each by its case's id: {below}{file.suffix}"
        )
