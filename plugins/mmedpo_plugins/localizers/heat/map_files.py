"""Which file of a folder is the heat map of which image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from mmedpo import Case, DataError
from mmedpo_plugins.localizers.heat.image_names import candidate_names, describe_rivals, match_images

ENDINGS = (".npy", ".png")


def map_files(root: Path, cases: Sequence[Case]) -> list[Path | None]:
    """Return each case's map, or None where there is none. Raises DataError for a map that two images claim."""

    def look_up(case: Case, name: PurePosixPath) -> Path | None:
        image = Path(case.image.path).resolve()
        for ending in ENDINGS:
            path = root / name.with_name(name.name + ending)
            if _is_inside(path, root) and path.is_file() and path.resolve() != image:
                return path
        return None

    return match_images(cases, look_up, lambda file, rivals: _blame_map(root, file, rivals))


def _is_inside(path: Path, root: Path) -> bool:
    """Tell whether a path stays in the folder: a case's id may be anything."""
    try:
        return ".." not in path.parts and path.is_relative_to(root) and path.stat() is not None
    except (OSError, ValueError):
        return False


def _blame_map(root: Path, file: Path, rivals: Sequence[Case]) -> DataError:
    names = candidate_names(rivals[0])
    below = rivals[0].id if rivals[0].id in names[:-1] else names[-2:][0]
    return DataError(
        f"{file}: is the map of two images, {describe_rivals(rivals)}; lay the maps out below {root} as the images "
        f"are, or name each by its case's id: {below}{file.suffix}"
    )
