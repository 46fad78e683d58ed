"""Find the file that a name nearly names: in other case or Unicode form, a folder off, with another ending."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import islice, takewhile
from pathlib import Path, PurePosixPath
from unicodedata import normalize
from urllib.parse import unquote

MOST = 300_000  # files that are looked through: MIMIC-CXR-JPG whole takes longer than an error is worth

NO_IMAGES = (".csv", ".json", ".jsonl", ".npy", ".parquet", ".txt", ".xml")


class FileIndex:
    """The files below some folders, looked through when first asked."""

    def __init__(self, folders: Sequence[Path]) -> None:
        """Take the folders."""
        self._folders = folders

    def near(self, name: str) -> str:
        """Return the file that is most likely meant, relative to its folder; "" when none or several are likely."""
        ranked = sorted(
            ((_rank_likeness(name, one), one) for one in self._by_stem.get(_fold_stem(name), ())), reverse=True
        )
        if not ranked or (len(ranked) > 1 and ranked[0][0] == ranked[1][0]):
            return ""
        return ranked[0][1]

    @cached_property
    def _by_stem(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name in islice(self._files(), MOST):
            found.setdefault(_fold_stem(name), []).append(name)
        return found

    def _files(self) -> Iterator[str]:
        for folder in self._folders:
            for place, _, names in os.walk(folder):
                for name in names:
                    if PurePosixPath(name).suffix.lower() not in NO_IMAGES:
                        yield (Path(place) / name).relative_to(folder).as_posix()


def _fold_name(name: str) -> str:
    """Return a name without what two systems write differently: Unicode form, case, slashes, %20."""
    return normalize("NFC", unquote(name)).casefold().replace("\\", "/").strip()


def _fold_stem(name: str) -> str:
    last = PurePosixPath(_fold_name(name)).name
    ending = PurePosixPath(last).suffix
    return last.removesuffix(ending) if ending[1:2].isalpha() else last  # 1.2.840 is the end of a DICOM UID


def _rank_likeness(one: str, other: str) -> tuple[int, bool]:
    """Rank by how many folders agree, counted from the file, then by its ending."""
    mine, its = (PurePosixPath(_fold_name(name)) for name in (one, other))
    pairs = zip(reversed(mine.parent.parts), reversed(its.parent.parts), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs)), mine.name == its.name
