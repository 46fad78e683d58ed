"""Look through all that a run wrote for identifiers, a text at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmedpo.errors import DataError, first_line
from mmedpo.scan.files import WeightsError, read_texts
from mmedpo.scan.identifier import LEVELS, FileText, Identifier, drop_overlaps
from mmedpo.scan.known import KnownIdentifiers
from mmedpo.scan.patterns import PatternSearch, hide_numbers
from mmedpo.scan.sources import read_environment, read_list, read_sources
from mmedpo.store.run_files.reader import RunFiles, read_run
from mmedpo.store.run_files.record import RunRecord
from mmedpo.store.run_files.rounds import list_rounds, place_journal

WINDOW, OVERLAP = 2**15, 256  # characters of a text that are looked at once, and that the next window has again


@dataclass
class ScanResult:
    """What a scan found, and what it looked at and for."""

    folder: Path
    identifiers: list[Identifier] = field(default_factory=list)
    files: int = 0
    weights: list[str] = field(default_factory=list)  # files that are numbers
    unread: dict[str, str] = field(default_factory=dict)  # files that could not be read, and why
    known: int = 0  # identifiers that were looked for by name
    short: int = 0  # that were not, being too short
    gone: list[str] = field(default_factory=list)  # what is no longer there or unknown: data of the run, its journal

    def at_least(self, level: str) -> list[Identifier]:
        """Return what is so sure at least, the surest first."""
        sure = [one for one in self.identifiers if one.score >= LEVELS[level]]
        return sorted(sure, key=lambda one: (-one.score, one.file, one.kind))


def scan_run(folder: Path, listed: Path | None = None, model: str | None = None) -> ScanResult:
    """Look for identifiers in a run folder and its journal, or in any other folder or file.

    Raises DataError when there is nothing to look at, RecipeError where presidio or the model is missing.
    """
    if not folder.exists():
        raise DataError(f"{folder}: there is no such file or folder")
    result = ScanResult(folder)
    runs = _read_runs(folder, result)
    known = [*(read_list(listed) if listed else ()), *read_environment(runs[0].run.recipe if runs else {})]
    known += [one for files in runs for one in read_sources(files, result.gone)]
    search = IdentifierSearch(KnownIdentifiers(known), PatternSearch(model))
    result.known, result.short = search.known.count, search.known.short
    for path, name in _list_files(folder, runs):
        result.files += 1
        _scan_file(path, name, search, result)
    return result


def _read_runs(folder: Path, result: ScanResult) -> list[RunFiles]:
    """Return the run, or the rounds, that a folder holds; none where it holds none that this version reads."""
    try:
        return [read_run(place) for place in list_rounds(folder) or [folder] if (place / RunRecord.file).exists()]
    except DataError as error:
        result.gone.append(f"the journal and the data of the run ({first_line(error)})")
        return []


@dataclass
class IdentifierSearch:
    """Find identifiers in a text: those known beforehand, and what looks like one."""

    known: KnownIdentifiers
    patterns: PatternSearch
    _found: dict[tuple[str, str], Identifier] = field(default_factory=dict)

    def look(self, piece: FileText, file: str) -> None:
        """Note what stands in a text of a file."""
        for window in _cut(piece):
            self._look_at(window, file)

    def _look_at(self, piece: FileText, file: str) -> None:
        text = hide_numbers(piece.text)
        matches = (one for of in (self.known.find(text), self.patterns.find(piece)) for one in of)
        for match in drop_overlaps(matches):
            value = piece.text[match.start : match.end]
            self._found.setdefault((match.kind, value), Identifier(match.kind, file, value)).add(piece.place, match)

    def take(self) -> Iterator[Identifier]:
        """Yield what was noted since the last time."""
        found, self._found = self._found, {}
        yield from found.values()


def _cut(piece: FileText) -> Iterator[FileText]:
    """Yield a text as it is; a long one in windows that overlap by more than an identifier has."""
    for start in range(0, max(len(piece.text) - OVERLAP, 1), WINDOW - OVERLAP):
        yield FileText(piece.place, piece.text[start : start + WINDOW], piece.name)


def _scan_file(path: Path, name: str, search: IdentifierSearch, result: ScanResult) -> None:
    search.look(FileText("its name", name), name)
    try:
        for piece in read_texts(path):
            search.look(piece, name)
    except WeightsError:
        result.weights.append(name)
    except (ValueError, OSError) as error:
        result.unread[name] = first_line(error)
    result.identifiers += search.take()


def _list_files(folder: Path, runs: list[RunFiles]) -> Iterator[tuple[Path, str]]:
    """Yield the files of a run, its journal's too, each once however often it is linked, with the name to say."""
    seen: set[tuple[int, int]] = set()
    for place in dict.fromkeys([folder, *(one for files in runs for one in _journal_places(files))]):
        for path in _walk(place):
            facts = path.stat()
            if (facts.st_dev, facts.st_ino) not in seen:
                seen.add((facts.st_dev, facts.st_ino))
                yield path, os.path.relpath(path, folder.parent)


def _journal_places(files: RunFiles) -> list[Path]:
    written: Any = files.run.recipe.get("journal")
    journal = Path(files.places.of(written)) if written else place_journal(files.folder, files.run.round)
    beside = [journal, journal.with_name(f"{journal.name}-wal"), journal.with_name(f"{journal.stem}-images")]
    return [place for place in beside if place.exists()]


def _walk(place: Path) -> Iterator[Path]:
    """Yield the files in a folder, links within it not followed to folders elsewhere; or the file itself."""
    if place.is_file():
        yield place
    for root, folders, names in os.walk(place):
        folders.sort()
        yield from (path for name in sorted(names) if (path := Path(root, name)).is_file())
