"""What data are, told by the readers that would read them, and by reading them once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from mmedpo.core.records import Case, Drop, Pair, Remark
from mmedpo.data.tables import closed_answer
from mmedpo.errors import DataError, MmedpoError, PluginError, first_line
from mmedpo.registry.contracts.data_guess import DataGuess
from mmedpo.registry.contracts.reader import Reader
from mmedpo.registry.discovery import find_parts, load_part
from mmedpo.registry.kinds import find_kind

WANTED = (
    "  wanted: a table (.csv, .jsonl, .parquet) with a column of images and one of answers, and the images; films in "
    "DICOM form with FILM.json beside FILM.dcm; or a data set in a layout of docs/guides/data.md"
)
_WORKBOOK = "is a workbook; save its sheet as 'CSV UTF-8'"
_LIST = "is no table; write one object a line, as .jsonl"
HINTS = {".xlsx": _WORKBOOK, ".xls": _WORKBOOK, ".ods": _WORKBOOK, ".json": _LIST}
MOST = 100  # files that are looked at for such a hint
KEPT = 500  # cases, to try on them who can make pairs


@dataclass(frozen=True)
class ReaderGuess:
    """A reader, and how it would read what lies at some places."""

    reader: type[Reader]
    guess: DataGuess
    others: tuple[str, ...] = ()  # readers that know the place as well

    def make(self, **options: Any) -> Reader:
        """Make the reader. Raises DataError when a plugin guesses options that it does not take."""
        try:
            return self.reader.model_validate({**self.guess.options, **options})
        except ValueError as error:
            raise DataError(f"{self.reader.use}: {first_line(error)}") from error


def guess_reader(places: Sequence[Path]) -> ReaderGuess:
    """Return the likeliest reader of what lies at some places. Raises DataError that says what was looked at."""
    for place in places:
        if not place.exists():
            raise DataError(f"{place}: there is no such file or folder")
    guesses = list(_ask_readers(places))
    whole = [one for one in guesses if not one.guess.lacks]
    if not whole:
        lacks = [f"  {lack}" for one in guesses for lack in one.guess.lacks]
        named = ", ".join(map(str, places))
        raise DataError("\n".join([f"{named}: no reader can read it as it is", *_list_files(places), *lacks, WANTED]))
    best = max(whole, key=lambda one: (one.guess.certain, len(one.guess.columns)))
    return replace(best, others=tuple(one.reader.use for one in whole if one is not best and one.guess.certain))


def _ask_readers(places: Sequence[Path]) -> Iterator[ReaderGuess]:
    for plugin in find_parts():
        if plugin.kind is not find_kind(Reader):
            continue
        try:
            reader = cast(type[Reader], load_part(plugin))
        except PluginError:
            continue  # `mmedpo plugins check` says why
        try:
            found = reader.guess(places)
        except MmedpoError:
            raise
        except Exception as error:
            raise PluginError(f"{plugin} failed to guess: {type(error).__name__}: {error}") from error
        if found:
            yield ReaderGuess(reader, found)


def _list_files(places: Iterable[Path]) -> Iterator[str]:
    """Say what lies there, by the endings of files."""
    for place in places:
        files = [path for path in place.rglob("*") if path.is_file()] if place.is_dir() else [place]
        endings = Counter(path.suffix.lower() or "no ending" for path in files)
        told = ", ".join(f"{count:,} {ending}" for ending, count in endings.most_common(5))
        yield f"  {place}: {told or 'an empty folder'}"
        yield from (f"  {path}: {HINTS[path.suffix.lower()]}" for path in files[:MOST] if path.suffix.lower() in HINTS)


@dataclass
class DataSurvey:
    """What a reader yields, counted."""

    kinds: Counter[str] = field(default_factory=Counter)  # of cases
    groups: set[str] = field(default_factory=set)  # patients, else images
    told_groups: int = 0  # cases whose patient is told
    yes_no: int = 0
    with_regions: int = 0
    several_images: int = 0
    pairs: Counter[str] = field(default_factory=Counter)  # by kind
    unrated: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    remarks: Counter[str] = field(default_factory=Counter)
    first: list[Case] = field(default_factory=list)

    @property
    def cases(self) -> int:
        """How many cases there are."""
        return self.kinds.total()

    def add(self, item: Any) -> None:
        """Count the next."""
        if isinstance(item, Case):
            self._add_case(item)
        elif isinstance(item, Pair):
            self.pairs[item.kind] += 1
            self.unrated[item.kind] += item.relevance is None
        elif isinstance(item, Drop):
            self.left_out[item.reason] += 1
        elif isinstance(item, Remark):
            self.remarks[item.text] += 1

    def _add_case(self, case: Case) -> None:
        self.kinds[case.kind] += 1
        self.groups.add(case.group or case.image.path or case.id)
        self.told_groups += bool(case.group)
        self.yes_no += closed_answer(case.answer) is not None
        self.with_regions += bool(case.regions)
        self.several_images += bool(case.more_images)
        if len(self.first) < KEPT:
            self.first.append(case)


def survey_data(reader: Reader) -> DataSurvey:
    """Read data once, and count. Raises DataError for what cannot be read."""
    survey = DataSurvey()
    for item in reader.read():
        survey.add(item)
    return survey
