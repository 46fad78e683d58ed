"""Make pairs of rows, one data set's, whatever their form."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from mmedpo import (
    GIVEN,
    Case,
    CaseKind,
    Drop,
    ExistingFile,
    ExistingFolder,
    ImageRef,
    Pair,
    Reader,
    Region,
    Remark,
    Side,
)
from mmedpo.data import ImageFolder, TableRow, UniqueIds, answer_kind, drop_uninformative, show_value
from mmedpo_plugins.readers.pairs.export_facts import RegionFacts
from mmedpo_plugins.readers.pairs.noise_film import NoiseFilm
from mmedpo_plugins.readers.pairs.repeated_question import strip_question
from mmedpo_plugins.readers.pairs.report_questions import asks_for_report
from mmedpo_plugins.readers.pairs.row_formats import PairRow
from mmedpo_plugins.tabular.parquet import embedded_image


class ReadyPairReader(Reader):
    """What the readers of ready pairs share."""

    yields = "pairs"

    root: ExistingFolder
    """The folder with one file of pairs and the images."""
    file: ExistingFile | None = None
    """The file of pairs, where root has none or several."""
    images: ExistingFolder | None = None
    """The folder that images are named in, where it is not root's."""
    missing: Literal["error", "skip"] = "error"
    """What to do about images that are not there: stop and name the first, or drop their pairs and count them."""
    repeated_question: Literal["keep", "strip"] = "keep"
    """What to do with the question where an answer begins with it: keep it and count the pairs, or take it off."""
    kind: CaseKind | None = None
    """The kind of every question, in place of what its row says; by default, where a row says nothing, a right answer
    yes or no makes it closed, words that tell to describe the whole image a report, which is counted, all else open."""

    def pairs(
        self, rows: Callable[[], Iterable[TableRow]], folders: list[Path], sides: Callable[[TableRow], PairRow]
    ) -> Iterator[Pair | Drop | Remark]:
        """Yield the pairs of rows. Raise DataError with the place of what cannot be read."""
        reading = _PairBuilder(ImageFolder(folders, self.missing), self, sides)
        yield from chain.from_iterable(reading.images.complete(map(reading.items, rows())))


class _PairBuilder:
    def __init__(self, images: ImageFolder, part: ReadyPairReader, sides: Callable[[TableRow], PairRow]) -> None:
        self.images, self._part, self._sides = images, part, sides
        self._ids = UniqueIds()
        self._places: dict[str, str] = {}  # of the pairs whose ids the data give
        self._cases: dict[str, tuple[str, str, str]] = {}

    def items(self, row: TableRow) -> list[Pair | Drop | Remark]:
        """Return the pair of a row and what is odd about it, or why it is none."""
        return list(self._build(row, self._sides(row)))

    def _build(self, row: TableRow, told: PairRow) -> Iterator[Pair | Drop | Remark]:
        name, remarks = told.facts.id or self._pair_id(row, told), list(told.remarks)
        chosen, rejected = (self._side_answer(told, side, remarks) for side in ("chosen", "rejected"))
        found = [self._find_pictures(row, values) for values in told.images]
        kind = self._part.kind or told.facts.case_kind or _tell_kind(told, chosen or "", remarks)
        case = self._make_case(row, name, told, chosen or "", kind, found[0]) if all(found) else None
        if case is None:
            yield self.images.drop(name)
        elif rejected is None:
            yield Drop(name, "there is no rejected answer")
        elif not ((chosen or "").strip() and rejected.strip()):
            yield Drop(name, "an answer is empty")
        else:
            pair = drop_uninformative(self._make_pair(row, told, case, (chosen or "", rejected), found))
            yield from (Remark(name, text) for text in remarks if isinstance(pair, Pair))
            yield pair

    def _pair_id(self, row: TableRow, told: PairRow) -> str:
        """Return the id that a row gives, or one made of what it says; either is made distinct."""
        if name := row.get("id"):
            return self._ids.distinct(name)
        named = [one for images in told.images for one in images]
        held = (one.get("bytes") or one.get("path") if isinstance(one, Mapping) else _name_film(one) for one in named)
        images = [one for one in held if isinstance(one, str | bytes)]
        return self._ids.of(*images, told.question, told.chosen, told.rejected or "")

    def _side_answer(self, told: PairRow, side: str, remarks: list[str]) -> str | None:
        """Return a side's answer, without the question that it repeats where the recipe says so."""
        answer: str | None = getattr(told, side)
        rest = strip_question(told.question, answer) if answer else None
        if rest is None:
            return answer
        if self._part.repeated_question == "strip":
            remarks.append(f"the {side} answer repeated the question, which is taken off")
            return rest
        remarks.append(f"the {side} answer repeats the question; data.repeated_question=strip takes it off")
        return answer

    def _make_pair(
        self, row: TableRow, told: PairRow, case: Case, answers: tuple[str, str], found: list[list[ImageRef]]
    ) -> Pair:
        facts, (first, second) = told.facts, (found[0], found[0] if told.same_images else found[1])
        pair = Pair(
            case,
            Side(first[0], answers[0], tuple(first[1:])),
            Side(second[0], answers[1], tuple(second[1:])),
            kind=facts.kind or ("text" if told.same_images else "image"),
            made_by=facts.made_by or self._part.use,
            number=facts.number,
            relevance=row.number(told.relevance, most=1.0),
            notes=_pair_notes(row, told),
        )
        if facts.id:
            self._require_own(row, pair)
        return pair

    def _require_own(self, row: TableRow, pair: Pair) -> None:
        """Raise DataError when a pair, or another case under its case's id, stands already elsewhere."""
        case, place = pair.case, self._places.setdefault(pair.id, row.place)
        if place != row.place:
            raise row.wrong(f"the pair {pair.id!r} stands already at {place}; are two exports in one file?")
        about = (case.question, case.answer, case.kind)
        if self._cases.setdefault(case.id, about) != about:
            raise row.wrong(f"the case {case.id!r} has another question or answer elsewhere; are two exports in one?")

    def _make_case(
        self, row: TableRow, name: str, told: PairRow, chosen: str, kind: CaseKind, shown_to_chosen: list[ImageRef]
    ) -> Case | None:
        facts = told.facts
        named = facts.images or ([facts.image] if facts.image else [])
        shown = self._find_pictures(row, named) if named else shown_to_chosen
        if not shown:
            return None
        own = told.images[0][0]
        return Case(
            name,
            shown[0],
            told.question,
            facts.answer or chosen,
            kind=kind,
            group=facts.group or (own if isinstance(own, str) else ""),
            about=tuple(facts.about),
            regions=tuple(self._make_region(row, one, len(shown)) for one in facts.regions),
            restricted=self._is_restricted(row, told),
            notes=facts.case_notes,
            more_images=tuple(shown[1:]),
        )

    def _is_restricted(self, row: TableRow, told: PairRow) -> bool:
        """Tell whether a pair must stay here: the reader says so, or the row."""
        said = row.values.get("restricted")
        if said is not None and not isinstance(said, bool):
            raise row.wrong(f"'restricted' must be true or false, not {show_value(said)}")
        return bool(said) or (self._part.restricted if told.facts.restricted is None else told.facts.restricted)

    def _make_region(self, row: TableRow, value: RegionFacts, images: int) -> Region:
        if (value.image or 0) >= images:
            raise row.wrong(f"a region lies in image {value.image}, counted from 0, and the case has {images}")
        mask, heat = (self._find_picture(row, name) if name else None for name in (value.mask, value.heat))
        return Region(value.label, value.box, value.confidence, mask, value.image or 0, heat)

    def _find_pictures(self, row: TableRow, values: Sequence[Any]) -> list[ImageRef]:
        """Return the images that a row holds or names; none where one of the files is missing."""
        found = [self._find_picture(row, value) for value in values]
        return [picture for picture in found if picture] if None not in found else []

    def _find_picture(self, row: TableRow, value: Any) -> ImageRef | None:
        """Return the image that a row holds or names, or None when the file is missing."""
        if isinstance(value, NoiseFilm):
            film = self.images.find(value.name, row)
            return value.draw(film) if film else None
        if isinstance(value, Mapping) and not value.get("bytes"):
            value = value.get("path")
        if not isinstance(value, str):
            return embedded_image(TableRow(row.place, {"image": value}), "image")
        path = self.images.find(self._relative_name(value), row)
        return ImageRef.at(path, row.place) if path else None

    def _relative_name(self, name: str) -> str:
        """Return an absolute name relative to the folder that it is in; ms-swift advises to write such names."""
        for folder in self.images.folders if Path(name).is_absolute() else ():
            if Path(name).is_relative_to(folder.absolute()):
                return str(Path(name).relative_to(folder.absolute()))
        return name


def _tell_kind(told: PairRow, chosen: str, remarks: list[str]) -> CaseKind:
    """Return the kind of a question of which nobody says it."""
    kind: CaseKind = answer_kind(told.facts.answer or chosen)
    if kind == "closed" or not asks_for_report(told.question):
        return kind
    remarks.append("a report, since the question tells to describe the image; data.kind says otherwise")
    return "report"


def _name_film(value: Any) -> Any:
    """Return a film's name, also where noise stands for it."""
    return value.name if isinstance(value, NoiseFilm) else value


def _pair_notes(row: TableRow, told: PairRow) -> dict[str, Any]:
    """Return how a pair was made, and with it what came with its score."""
    facts = told.facts
    given: dict[str, Any] = {"scorer": facts.scorer} if facts.scorer else {}
    given |= {"evidence": facts.evidence} if facts.evidence else {}
    weight = row.number("weight")
    if weight is not None:
        given["weight"] = weight
    return {**facts.notes, **({GIVEN: given} if given else {})}
