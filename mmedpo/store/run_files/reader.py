"""A run folder read back: the one way in for commands, the report, and whoever else asks what a run did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

from mmedpo.core.records import Case, WeightedPair, from_json
from mmedpo.data.tables import TableRow
from mmedpo.errors import DataError
from mmedpo.store.run_files.dropped import DroppedCase
from mmedpo.store.run_files.format import CASES, PAIRS, parse_row, read_file
from mmedpo.store.run_files.image_places import ImagePlaces
from mmedpo.store.run_files.measures import AnsweredCase, AttendedCase, ImageFile, MeasureRecord, TrainingRecord
from mmedpo.store.run_files.record import RunRecord
from mmedpo.store.run_files.rounds import find_result
from mmedpo.store.run_files.rows import FileRows


@dataclass(frozen=True)
class RunFiles:
    """What a run folder holds; an unfinished run has less of it. Each file is read when it is asked for."""

    folder: Path
    run: RunRecord

    @cached_property
    def training(self) -> TrainingRecord | None:
        """What became of the pairs in training; None where nothing was trained yet."""
        return read_file(self.folder, TrainingRecord)

    @cached_property
    def measures(self) -> MeasureRecord | None:
        """What was measured before and after; None where nothing was yet."""
        return read_file(self.folder, MeasureRecord)

    @cached_property
    def places(self) -> ImagePlaces:
        """Where the images are that the files name."""
        return ImagePlaces(self.folder, self.run.started_in)

    def pairs(self) -> Sequence[WeightedPair]:
        """Return the weighted pairs, with paths of images that hold from here; none where none were made yet.

        As `answers` and `attention`, they are read when they are asked for: however many there are, one is in memory.
        """
        return FileRows(self.folder / PAIRS, self._pair)

    def _pair(self, row: TableRow) -> WeightedPair:
        try:
            return from_json(WeightedPair, self.places.resolved(row.values))
        except ValueError as error:
            raise row.wrong(f"is not a pair ({error})") from error

    def cases(self) -> Sequence[Case]:
        """Return the cases that training learns, as `pairs`; none where it learns pairs."""
        return FileRows(self.folder / CASES, self._case)

    def _case(self, row: TableRow) -> Case:
        try:
            return from_json(Case, self.places.resolved(row.values))
        except ValueError as error:
            raise row.wrong(f"is not a case ({error})") from error

    def dropped(self) -> Sequence[DroppedCase]:
        """Return the cases of which no pair was made or kept, with the reason, as `pairs`; none before the pairs."""
        return FileRows(self.folder / DroppedCase.file, self._dropped_case)

    def _dropped_case(self, row: TableRow) -> DroppedCase:
        dropped = parse_row(DroppedCase, row)
        image = dropped.image and dropped.image.model_copy(update={"path": self.places.of(dropped.image.path)})
        return dropped.model_copy(update={"image": image})

    def answers(self) -> Sequence[AnsweredCase]:
        """Return the evaluation cases with their answers, images as in `pairs`; none where nothing was measured yet."""
        return FileRows(self.folder / AnsweredCase.file, self._answer)

    def _answer(self, row: TableRow) -> AnsweredCase:
        answered = parse_row(AnsweredCase, row)
        image, *more = (
            ImageFile(path=self.places.of(file.path), sha256=file.sha256)
            for file in (answered.image, *answered.more_images)
        )
        return answered.model_copy(update={"image": image, "more_images": tuple(more)})

    def attention(self) -> Sequence[AttendedCase]:
        """Return where the models looked, case by case; none unless `evaluate.attention` was asked for."""
        return FileRows(self.folder / AttendedCase.file, partial(parse_row, AttendedCase))


def read_run(folder: str | Path) -> RunFiles:
    """Read a run folder; of a run in rounds, its last round's.

    Raises DataError for one that is no run, is of another format, or has a broken file.
    """
    folder = find_result(Path(folder))
    run = read_file(folder, RunRecord)
    if run is None:
        raise DataError(f"{folder}: is no run folder; it has no {RunRecord.file}")
    return RunFiles(folder, run)


def read_pairs(folder: str | Path) -> Sequence[WeightedPair]:
    """Return a run's weighted pairs, as `RunFiles.pairs` does. Raises DataError when there are none yet."""
    files = read_run(folder)
    if not (files.folder / PAIRS).exists():
        path = files.folder / PAIRS
        raise DataError(f"{path}: there are no pairs yet; run `mmedpo run RECIPE --until weigh` first")
    return files.pairs()
