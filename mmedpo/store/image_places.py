"""Where the images are that a run folder's files name, from whatever folder one looks."""

from __future__ import annotations

import os
from pathlib import Path

from mmedpo.store.run_folder import read_json

STARTED_IN = "started_in"  # in run.json: the folder that relative paths start from


def started_in(folder: Path) -> dict[str, str]:
    """Return what run.json keeps of the working folder: also as seen from the run folder, for when both move."""
    return {"absolute": os.getcwd(), "from_run": os.path.relpath(os.getcwd(), folder)}


class ImagePlaces:
    """Find what the files of one run folder name."""

    def __init__(self, folder: Path) -> None:
        """Read from which folder the run was started."""
        self._folder = folder
        known = (read_json(folder / "run.json") or {}).get(STARTED_IN, {})
        moved = [folder / known["from_run"]] if "from_run" in known else []
        self._roots = [*moved, *([Path(known["absolute"])] if "absolute" in known else []), Path()]

    def of(self, path: str) -> str:
        """Return where a path leads: into the run folder, or from where the run was started."""
        if not path or os.path.isabs(path):
            return path
        if path.startswith("images/") and (self._folder / path).exists():
            return str(self._folder / path)
        found = (root / path for root in self._roots[:-1] if (root / path).exists())
        return str(next(found, (self._folder if path.startswith("images/") else self._roots[0]) / path))
