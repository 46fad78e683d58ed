"""The reader of MIMIC-CXR: the JPEG images, the official split, and the reports' sections."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from pathlib import Path
from typing import ClassVar, Literal

from mmedpo import Case, DataError, DataGuess, Drop, ExistingFile, ExistingFolder, ImageRef, Reader, Remark, hookimpl
from mmedpo.data import ImageFolder, TableRow, csv_rows, file_text
from mmedpo_plugins.guesses.released_sets import guess_released
from mmedpo_plugins.radiology.report_sections import ReportSection, describe_loss, sections
from mmedpo_plugins.studies.questions import QUESTIONS, Questions, draw_question
from mmedpo_plugins.studies.study_list import StudyList


@hookimpl
def mmedpo_readers() -> list[type[Reader]]:
    return [MimicCxrReader]


class MimicCxrReader(Reader):
    """Read MIMIC-CXR: chest films with reports; restricted, as PhysioNet's data use agreement demands.

        data: {use: mimic-cxr, root: data/mimic-cxr-jpg, reports: data/mimic-cxr-reports, split: train}

    `root` is MIMIC-CXR-JPG: `mimic-cxr-2.0.0-split.csv`, `mimic-cxr-2.0.0-metadata.csv` (both also as .csv.gz) and
    `files/p10/p10000032/s50414267/*.jpg`; `reports` holds `files/p10/p10000032/s50414267.txt`. Cases of one patient
    are one group. A section ends at the headings that the data set's own parser knows, so that "PA VIEW:" within the
    findings ends nothing. A report without the section is dropped and counted; one whose findings end at a heading
    such as COMPARISON, or that has the section twice, is counted.
    """

    use: ClassVar[str] = "mimic-cxr"

    root: ExistingFolder
    """The folder of MIMIC-CXR-JPG."""
    reports: ExistingFolder | None = None
    """The folder of the unpacked mimic-cxr-reports.zip, where it is not root."""
    split: Literal["train", "validate", "test", "all"] = "train"
    """Which patients, in the official split."""
    studies: ExistingFile | None = None
    """A file that names the studies to take, of those that split and views leave: a study_id a line, a CSV table with
    such a column, or a JSON list; a dicom_id names that film alone, so that MMedPO's released pairs are such a list
    (`id`). Those that are not there are counted."""
    section: Literal["findings", "impression", "both"] = "findings"
    """The part of the report that is the answer."""
    views: tuple[str, ...] = ("PA", "AP")
    """The view positions to take, the best first; none takes every film."""
    films: Literal["first", "each", "all"] = "first"
    """One case a study with the film of its best view; a case for each of its films with the same report; or one case a
    study with all its films, the best view first, for a backbone that takes several images. Laterals are among them
    where `views` names them: `views: [PA, AP, LATERAL, LL]`."""
    question: Questions = QUESTIONS
    """What is asked of every film, or of all films of a study; of a list one question, drawn by the study's id."""
    missing: Literal["error", "skip"] = "error"
    """What to do about an image or report that is not there: stop and name it, or drop its cases and count them."""

    @classmethod
    def guess(cls, places: Sequence[Path]) -> DataGuess | None:
        """Return how it would read the first of these folders that is in its layout."""
        texts = next((place for place in places if any(place.glob("files/p*/p*/s*.txt"))), None)
        apart = {"reports": texts} if texts and not any(texts.glob("*split.csv*")) else {}
        return guess_released(places, "mimic-cxr-2.0.0-split.csv*", "files", test={"split": "test"}, **apart)

    def has_regions(self) -> bool:
        """Tell that the data set has none."""
        return False

    def has_several_images(self) -> bool:
        """Tell whether all films of a study are one case."""
        return self.films == "all"

    def read(self) -> Iterator[Case | Drop | Remark]:
        """Yield the films, study by study, in the order of the split file. Raise DataError for what cannot be read."""
        images, named = ImageFolder([self.root / "files"], self.missing), StudyList(self.studies)
        studies = self._group_studies(named)
        views = f" with the views {', '.join(self.views)}" if self.views else ""
        absent = named.absent(f"the films of split {self.split}{views}")
        for films in studies.values():
            yield from self._study_cases(films, images)
        yield from absent

    def _group_studies(self, named: StudyList) -> dict[str, list[TableRow]]:
        """Return the films of each study that is taken, best view first."""
        positions = {row.text("dicom_id"): row.get("ViewPosition") for row in self._read_csv("metadata")}
        self._require_views(set(positions.values()))
        studies: dict[str, list[tuple[int, TableRow]]] = {}
        for row in self._read_csv("split"):
            position = positions.get(row.text("dicom_id"), "")
            if self._is_taken(row, position, named):
                rank = self.views.index(position) if self.views else 0
                film = TableRow(row.place, {**row.values, "view": position})
                studies.setdefault(row.text("study_id"), []).append((rank, film))
        ordered = {study: sorted(films, key=lambda film: film[0]) for study, films in studies.items()}
        return {study: [film for _, film in films] for study, films in ordered.items()}

    def _require_views(self, there: Set[str]) -> None:
        """Raise DataError for a view that the recipe names and no film has."""
        usual = type(self).model_fields["views"].default  # of which a part of the data may lack one
        if self.views != usual and (unknown := [view for view in self.views if view not in there]):
            known = ", ".join(sorted(there - {""}))
            raise DataError(f"{self.root}: no film has the view {', '.join(unknown)}; there are: {known}")

    def _is_taken(self, row: TableRow, position: str, named: StudyList) -> bool:
        """Tell whether a film is of the split, the views, and the studies that are named."""
        if self.split not in ("all", row.text("split")) or (self.views and position not in self.views):
            return False
        study = row.text("study_id")
        return named.takes(study, f"s{study}", row.text("dicom_id"))

    def _read_csv(self, kind: str) -> Iterator[TableRow]:
        name = f"mimic-cxr-2.0.0-{kind}.csv"
        found = [self.root / form for form in (name, f"{name}.gz") if (self.root / form).is_file()]
        if not found:
            raise DataError(f"{self.root}: there is neither {name} nor {name}.gz; see docs/guides/data.md")
        return csv_rows(found[0])

    def _study_cases(self, films: list[TableRow], images: ImageFolder) -> Iterator[Case | Drop | Remark]:
        text = self._read_report(films[0])
        report = None if text is None else self._read_answer(text)
        together = [films] if self.films == "all" else [[film] for film in films]
        for rows in together if self.films != "first" else together[:1]:
            name = rows[0].text("dicom_id")
            paths = [path for row in rows if (path := images.find(_film_name(row), row))]
            if len(paths) < len(rows) and self.missing == "error":  # at once: to look at all 377,110 would take long
                raise images.absent()
            if len(paths) < len(rows):
                yield images.drop(name)
            elif report is None:
                yield Drop(name, "the report is missing")
            elif not report:
                yield Drop(name, f"the report has no section {self.section}")
            else:
                yield from (
                    Remark(name, why) for one in self._wanted_sections() if (why := describe_loss(text or "", one))
                )
                yield self._make_case(rows, paths, report)

    def _wanted_sections(self) -> tuple[ReportSection, ...]:
        return ("findings", "impression") if self.section == "both" else (self.section,)

    def _read_answer(self, report: str) -> str:
        """Return the section of a report that is asked for, "" when it has none."""
        found = sections(report)
        return "\n".join(found[name] for name in self._wanted_sections() if found[name])

    def _read_report(self, row: TableRow) -> str | None:
        """Return a study's report, None when there is none."""
        file = (self.reports or self.root) / "files" / f"{_study_folder(row)}.txt"
        if not file.is_file() and self.missing == "skip":
            return None
        return file_text(file)

    def _make_case(self, rows: Sequence[TableRow], paths: Sequence[Path], report: str) -> Case:
        row, (first, *more) = rows[0], (ImageRef.at(path, row.place) for row, path in zip(rows, paths, strict=True))
        return Case(
            row.text("dicom_id"),
            first,
            draw_question(self.question, row.text("study_id")),
            report,
            kind="report",
            group=row.text("subject_id"),
            restricted=self.restricted,
            notes={"study_id": row.text("study_id"), "view": ", ".join(row.get("view") for row in rows)},
            more_images=tuple(more),
        )


def _film_name(row: TableRow) -> str:
    """Return a film's file, relative to the folder of all."""
    return f"{_study_folder(row)}/{row.text('dicom_id')}.jpg"


def _study_folder(row: TableRow) -> str:
    """Return where a study lies: p10/p10000032/s50414267. Raises DataError for what is no number."""
    subject, study = row.text("subject_id"), row.text("study_id")
    if not (subject.isdigit() and study.isdigit()):
        raise row.wrong(f"subject_id and study_id must be numbers, not {subject!r} and {study!r}")
    return f"p{subject[:2]}/p{subject}/s{study}"
