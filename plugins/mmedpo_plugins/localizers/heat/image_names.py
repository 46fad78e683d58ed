"""What of a folder or a table belongs to which image: by the image's own path, the case's id, or its mere name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import TypeVar

from mmedpo import Case

Item = TypeVar("Item", bound=Hashable)


def match_images(
    cases: Sequence[Case],
    look_up: Callable[[Case, PurePosixPath], Item | None],
    blame: Callable[[Item, Sequence[Case]], Exception],
) -> list[Item | None]:
    """Return what is found for each case, or None; raise what `blame` makes of an item that two images claim.

    `look_up` gets names without ending, the surest first. What only a mere name leads to is claimed by all images of
    that name, whatever else is found for them.
    """
    found = [_find(case, look_up) for case in cases]
    claims: dict[Item, dict[str, Case]] = defaultdict(dict)
    stems: dict[str, dict[str, Case]] = defaultdict(dict)
    for case, one in zip(cases, found, strict=True):
        stems[_image_stem(case)].setdefault(_image_key(case), case)
        if one:
            claims[one[0]].setdefault(_image_key(case), case)
    for case, one in zip(cases, found, strict=True):
        if one:
            rivals = stems[_image_stem(case)] if one[1] else claims[one[0]]
            if len(rivals) > 1:
                raise blame(one[0], list(rivals.values()))
    return [one[0] if one else None for one in found]


def candidate_names(case: Case) -> list[str]:
    """Return by which names a case's image is looked for, without ending, in this order."""
    return [name.as_posix() for name, _ in _candidate_names(case)]


def describe_rivals(rivals: Sequence[Case]) -> str:
    """Name the first two of the images that claim one thing."""
    one, other = (f"case {case.id!r} ({case.image.path})" for case in rivals[:2])
    return f"of {one} and of {other}"


def _find(case: Case, look_up: Callable[[Case, PurePosixPath], Item | None]) -> tuple[Item, bool] | None:
    """Return what a case's names lead to, and whether only the mere name did."""
    for name, by_stem in _candidate_names(case):
        item = look_up(case, name)
        if item is not None:
            return item, by_stem
    return None


def _candidate_names(case: Case) -> Iterator[tuple[PurePosixPath, bool]]:
    """Yield the image's path from the longest on, the case's id, that without its reader, and the image's name alone.

    How much of the path is below the folder of the images is not known here, but what is looked for has the same below.
    """
    path = PurePosixPath(Path(case.image.path).as_posix())
    parts = (*path.parent.parts, path.stem)
    for start in range(path.is_absolute(), len(parts) - 1):
        yield PurePosixPath(*parts[start:]), False
    own = PurePosixPath(case.id)
    if own.name and case.id != path.stem:
        yield own, False
        if len(own.parts) > 1:  # where several data sets are read, ids begin with the reader's name
            yield PurePosixPath(*own.parts[1:]), False
    yield PurePosixPath(path.stem), case.id != path.stem


def _image_key(case: Case) -> str:
    return case.image.sha256 or case.image.path


def _image_stem(case: Case) -> str:
    return Path(case.image.path).stem
