"""Keep a diary of runs: a line of JSON for each stage, and one for the run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TextIO

from mmedpo import Event, Observer, Setting, hookimpl, read_run
from mmedpo.events import RunFinished, StageFinished, TrainingLogged


class Diary(Observer):
    """Add lines of JSON to a file: what each stage counted, the last loss, and in the end what the run came to.

    observe: [{use: diary, file: diary.jsonl}]
    """

    use = "diary"

    file: Path
    """The file; lines are added to what it holds."""

    @contextmanager
    def _opened(self, setting: Setting) -> Iterator[OpenDiary]:
        with self.file.open("a", encoding="utf-8") as file:
            yield OpenDiary(file)

    def open(self, setting: Setting) -> AbstractContextManager[OpenDiary]:
        """Open the file for as long as the run takes."""
        return self._opened(setting)

    def see(self, event: Event) -> None:
        """Leave it to the open diary."""
        raise NotImplementedError("a diary is open when it sees")


class OpenDiary:
    """The file that is written to."""

    def __init__(self, file: TextIO) -> None:
        """Take an open file."""
        self._file, self._loss = file, float("nan")

    def see(self, event: Event) -> None:
        """Write a line for what ended."""
        match event:
            case TrainingLogged(_, _, values):
                self._loss = values.get("loss", self._loss)
            case StageFinished("train", _):
                self._write(stage="train", loss=self._loss)
            case StageFinished(stage, counts):
                self._write(stage=stage, counts={count.what: count.count for count in counts})
            case RunFinished(folder):
                weights = [item.weight for item in read_run(folder).pairs()]
                self._write(run=folder, pairs=len(weights), mean_weight=sum(weights) / max(len(weights), 1))

    def _write(self, **told: object) -> None:
        self._file.write(json.dumps(told) + "\n")
        self._file.flush()


@hookimpl
def mmedpo_observers() -> list[type[Observer]]:
    return [Diary]
