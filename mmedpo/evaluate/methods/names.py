"""Which runs are one method, and what it is called: as a command line names them, or as they lie in a folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice, takewhile
from pathlib import Path

from mmedpo.errors import RecipeError
from mmedpo.store.run_files.format import read_file
from mmedpo.store.run_files.measures import MeasureRecord, VariantTable
from mmedpo.store.run_files.reader import read_run
from mmedpo.store.run_files.record import RunRecord
from mmedpo.store.run_files.rounds import list_rounds
from mmedpo.store.run_list import find_runs

NamedRuns = tuple[str, tuple[Path, ...]]  # a method's name, and its runs
TOLD = 8  # methods that an error names


def name_methods(named: Sequence[str]) -> dict[str, tuple[Path, ...]]:
    """Return the methods of a command line by name, each with its runs.

    One is a run folder, or several by comma, one a seed, `NAME=` before them if need be; a folder that is no run stands
    for all methods below it. Methods of one name go by their paths, and one that is named twice by number as well.
    """
    methods = list_methods(named)
    if len({name for name, _ in methods}) == len(methods):
        return dict(methods)
    paths = [str(_place_method(*method)) for method in methods]
    names = [path if paths.count(path) == 1 else f"{path} ({at})" for at, path in enumerate(paths, 1)]
    return {name: runs for name, (_, runs) in zip(names, methods, strict=True)}


def list_methods(named: Sequence[str]) -> list[NamedRuns]:
    """Return the methods that are named; some may have one name."""
    return [method for text in named for method in _read_name(text)]


def _place_method(name: str, runs: Sequence[Path]) -> Path:
    """Return the path of a run; of several, their name where the paths part."""
    levels = zip(*(run.parent.parts for run in runs), strict=False)
    shared = [level[0] for level in takewhile(lambda level: len({*level}) == 1, levels)]
    return Path(*shared, name) if len(runs) > 1 else runs[0]


def _read_name(text: str) -> Iterator[NamedRuns]:
    given, mark, paths = text.partition("=")
    if not mark or "/" in given or Path(text).exists():
        given, paths = "", text
    folders = tuple(Path(part) for part in paths.split(","))
    below = _list_below(folders[0]) if len(folders) == 1 else {}
    if given and len(below) > 1:
        several = ", ".join(islice(below, TOLD)) + (" ..." if len(below) > TOLD else "")
        raise RecipeError(f"{folders[0]}: holds {len(below)} methods, and {given!r} is to be one: {several}")
    for name, runs in (below or {"": folders}).items():
        yield given or name or _name_runs(runs), runs


def _name_runs(folders: Sequence[Path]) -> str:
    """Call runs that differ in their seed alone by what their names have in common."""
    names = dict.fromkeys(folder.name for folder in folders)
    variants = {name_variant(folder) for folder in folders} if len(names) > 1 else set()
    return variants.pop() if len(variants) == 1 else ", ".join(names)


def _list_below(folder: Path) -> dict[str, tuple[Path, ...]]:
    """Return the methods in a folder and below it; none for a run's own.

    They come as the recipe has its variants where these are done, else by name; the runs of each by their paths.
    """
    found: dict[str, list[Path]] = {}
    for run in find_runs(folder):
        if run == folder:
            return {}
        found.setdefault(name_variant(run), []).append(run)
    places = dict.fromkeys(run.parent for runs in found.values() for run in runs)
    tables = (read_file(place, VariantTable) for place in places)
    table = next((table for table in tables if table), None)
    known = list(dict.fromkeys(row["method"] for row in table.against_start)) if table else []
    order = sorted(found, key=lambda name: (known.index(name) if name in known else len(known), name))
    return {name: tuple(found[name]) for name in order}


def name_variant(folder: Path) -> str:
    """Return the variant that a run folder is of: its name, less its seed."""
    place = folder.resolve()
    name = place.name.removesuffix(f"-{read_run(folder).run.seed}")
    return place.name if (place.parent / name / RunRecord.file).exists() else name


def name_rounds(methods: Mapping[str, Sequence[Path]]) -> dict[str, tuple[Path, ...]]:
    """Return the measured rounds of a method's runs as methods to be compared; none of several methods."""
    folders = next(iter(methods.values())) if len(methods) == 1 else ()
    rounds = [[one for one in list_rounds(folder) if (one / MeasureRecord.file).exists()] for folder in folders]
    return {of_seeds[0].name: of_seeds for of_seeds in zip(*rounds, strict=False)}
