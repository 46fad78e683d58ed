"""What a run folder holds, read back; an unfinished run has less of it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mmedpo.core.records import WeightedPair
from mmedpo.report.surveys import CaseSurvey, PairSurvey
from mmedpo.store.run_files.format import PAIRS, JsonFile, JsonRow
from mmedpo.store.run_files.measures import AnsweredCase, AttendedCase, MeasureRecord, TrainingRecord
from mmedpo.store.run_files.reader import read_run
from mmedpo.store.run_files.record import RunRecord
from mmedpo.store.run_files.rounds import name_run

KINDS: tuple[type[JsonFile | JsonRow], ...] = (RunRecord, TrainingRecord, MeasureRecord, AnsweredCase, AttendedCase)
FILES = (PAIRS, *(kind.file for kind in KINDS))
SECRET = re.compile(r"api.?key|token$|secret|password|authorization|bearer", re.IGNORECASE)
LOGIN = re.compile(r"(?<=://)[^/@\s]+@")


@dataclass(frozen=True)
class RunFacts:
    """What is known of one run."""

    folder: Path
    run: RunRecord
    pairs: Sequence[WeightedPair]
    training: TrainingRecord | None
    measures: MeasureRecord | None
    answers: Sequence[AnsweredCase]
    attention: Sequence[AttendedCase]

    @property
    def name(self) -> str:
        """The run folder's name; of a round, the run's and its number."""
        return name_run(self.folder, self.run.round)

    @cached_property
    def recipe(self) -> dict[str, Any]:
        """The resolved recipe, without anything that looks like a key."""
        hidden: dict[str, Any] = without_keys(self.run.recipe)
        return hidden

    @property
    def read_by(self) -> str:
        """Who reads its data; of a run that only measures, the cases that it measures on."""
        readers = self.recipe["data"] or [self.recipe["evaluate"]["data"]]
        return " and ".join(reader["use"] for reader in readers)

    @property
    def state(self) -> str:
        """How far the run is, in words."""
        if self.run.state == "finished":
            return "finished" if self.run.finished else f"finished up to {self.run.until}"
        return "waiting for a batch" if self.run.state == "waiting" else self.run.state

    @property
    def restricted(self) -> bool:
        """Whether anything in it is of restricted data; also when nothing has been read yet and it may be."""
        sections = [*self.recipe["data"], (self.recipe.get("evaluate") or {}).get("data", {})]
        return (
            self.run.restricted
            or any(section.get("restricted", False) for section in sections)
            or self.all_pairs.restricted
            or self.all_cases.restricted
        )

    @cached_property
    def all_pairs(self) -> PairSurvey:
        """What is said of all pairs."""
        return PairSurvey(self.pairs)

    @cached_property
    def all_cases(self) -> CaseSurvey:
        """What is said of all cases."""
        return CaseSurvey(self.answers)

    @property
    def trained(self) -> bool:
        """Whether there is an after."""
        return bool(self.measures and self.measures.trained)


def read_facts(folder: Path) -> RunFacts:
    """Read a run folder. Raises DataError when one of its files is broken."""
    files = read_run(folder)
    asked = files.run.recipe
    evaluated = bool(asked.get("evaluate"))
    return RunFacts(
        folder=files.folder,
        run=files.run,
        pairs=files.pairs(),
        training=files.training if asked.get("train") else None,
        measures=files.measures if evaluated else None,
        answers=files.answers() if evaluated else (),
        attention=files.attention() if evaluated else (),
    )


def state_of(folder: Path) -> str:
    """Hash what a report on this run would be made of. Raises DataError when the folder is no run."""
    folder, state = read_run(folder).folder, hashlib.sha256()
    for name in FILES:
        path = folder / name
        state.update(f"{name} ".encode() + (_hash_file(path) if path.exists() else b"-"))
    return state.hexdigest()


def _hash_file(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def without_keys(value: Any) -> Any:
    """Return JSON in which nothing that is named like a key, and no login in an address, is left."""
    if isinstance(value, Mapping):
        return {key: _hidden(str(key), item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_keys(item) for item in value]
    return LOGIN.sub("", value) if isinstance(value, str) else value


def _hidden(key: str, value: Any) -> Any:
    return "(hidden)" if isinstance(value, str) and SECRET.search(key) else without_keys(value)
