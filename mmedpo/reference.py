"""Reference log-probabilities: what the starting policy gave each pair's answers, kept where a resumed run finds it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmedpo.folder import append, write_whole
from mmedpo.identity import content
from mmedpo.journal import Journal
from mmedpo.records import Weighted, digest

Logps = tuple[float, float]  # of the chosen and of the rejected answer


class JournalledReference(dict[str, Logps]):
    """Reference log-probabilities by pair id, kept in the journal: runs with pairs and model in common share them."""

    def __init__(self, journal: Journal, keys: Mapping[str, str]) -> None:
        """Take what the journal has under `keys`, a key for each pair id."""
        super().__init__()
        self._journal, self._keys = journal, keys
        for name, key in keys.items():
            if (found := journal.get(key, _logps)) is not None:
                self[name] = found

    def update(self, values: Iterable[tuple[str, Logps]]) -> None:  # type: ignore[override]
        """Add pairs, in memory and in the journal."""
        added = dict(values)
        for name, logps in added.items():
            self._journal.put(self._keys[name], logps)
        super().update(added)


def _logps(value: Any) -> Logps:
    chosen, rejected = map(float, value)
    if not (math.isfinite(chosen) and math.isfinite(rejected)):
        raise ValueError(f"{value!r:.80} are no log-probabilities")
    return chosen, rejected


def reference_keys(pairs: Sequence[Weighted], *facts: object) -> dict[str, str]:
    """Return the key of each pair's log-probabilities; `facts` say of which model, in which precision."""
    return {weighted.pair.id: digest("reference", *facts, *_shown(weighted)) for weighted in pairs}


def _shown(weighted: Weighted) -> tuple[object, ...]:
    """Return what the model is shown of a pair, and no more: neither weight nor scores change a log-probability."""
    pair = weighted.pair
    return pair.case.question, content(pair.chosen), content(pair.rejected)


class ReferenceFile(dict[str, Logps]):
    """Reference log-probabilities by pair id; `add` also appends them to a file, a JSON line a pair."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        whole = list(_whole_lines(path))
        kept = b"".join(line for line, _, _ in whole)  # a line cut short by a kill would spoil the next
        write_whole(path, lambda file: file.write(kept))
        for _, name, logps in whole:
            self[name] = logps

    def update(self, values: Iterable[tuple[str, Logps]]) -> None:  # type: ignore[override]
        """Add pairs, in memory and in the file."""
        added = dict(values)
        for name, logps in added.items():
            append(self.path, json.dumps([name, *logps]))
        super().update(added)


def _whole_lines(path: Path) -> Iterator[tuple[bytes, str, Logps]]:
    for line in path.read_bytes().split(b"\n")[:-1] if path.exists() else ():  # what follows the last \n is cut short
        try:
            name, chosen, rejected = json.loads(line)
        except ValueError:
            return
        yield line + b"\n", name, (float(chosen), float(rejected))
