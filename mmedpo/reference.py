"""Reference log-probabilities: what the starting policy gave each pair's answers, kept where a resumed run finds it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

Logps = tuple[float, float]  # of the chosen and of the rejected answer


class ReferenceFile(dict[str, Logps]):
    """Reference log-probabilities by pair id; `add` also appends them to a file, a JSON line a pair."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        whole = list(_whole_lines(path))
        path.write_text("".join(line for line, _, _ in whole))  # a line cut short by a kill would spoil the next
        for _, name, logps in whole:
            self[name] = logps

    def update(self, values: Iterable[tuple[str, Logps]]) -> None:  # type: ignore[override]
        """Add pairs, in memory and in the file."""
        added = dict(values)
        with self.path.open("a") as file:
            file.write("".join(json.dumps([name, *logps]) + "\n" for name, logps in added.items()))
        super().update(added)


def _whole_lines(path: Path) -> Iterator[tuple[str, str, Logps]]:
    for line in path.read_text().splitlines(keepends=True) if path.exists() else ():
        try:
            name, chosen, rejected = json.loads(line)
        except ValueError:
            return
        if line.endswith("\n"):
            yield line, name, (float(chosen), float(rejected))
