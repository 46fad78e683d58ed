"""Where the images are that a run folder's files name, from whatever folder one looks."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from mmedpo.store.run_files.record import WorkingFolder


def started_in(folder: Path) -> WorkingFolder:
    """Return what run.json keeps of the working folder: also as seen from the run folder, for when both move."""
    return WorkingFolder(absolute=os.getcwd(), from_run=os.path.relpath(os.getcwd(), folder))


class ImagePlaces:
    """Find what the files of one run folder name."""

    def __init__(self, folder: Path, started: WorkingFolder) -> None:
        """Take a run folder, and from which folder it was started."""
        self._folder = folder
        self._roots = [folder / started.from_run, Path(started.absolute), Path()]

    def of(self, path: str) -> str:
        """Return where a path leads: into the run folder, or from where the run was started."""
        if not path or os.path.isabs(path):
            return path
        if path.startswith("images/") and (self._folder / path).exists():
            return str(self._folder / path)
        found = (root / path for root in self._roots[:-1] if (root / path).exists())
        return str(next(found, (self._folder if path.startswith("images/") else self._roots[0]) / path))

    def resolved(self, value: Any) -> Any:
        """Return a JSON value in which every image has a path that leads somewhere from here."""
        if isinstance(value, dict) and value.keys() == {"path", "sha256"}:
            return {**value, "path": self.of(value["path"])}
        if isinstance(value, dict):
            return {key: self.resolved(item) for key, item in value.items()}
        return [self.resolved(item) for item in value] if isinstance(value, list) else value
