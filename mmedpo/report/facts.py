"""What a run folder holds, read back; an unfinished run has less of it."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mmedpo.core.records import WeightedPair
from mmedpo.data.json_files import jsonl_rows
from mmedpo.errors import DataError
from mmedpo.evaluate.evaluation import ATTENTION
from mmedpo.store.pairs_file import read_pairs
from mmedpo.store.run_folder import read_json

FILES = ("run.json", "pairs.jsonl", "training.json", "measures.json", "answers.jsonl", ATTENTION)
SECRET = re.compile(r"api.?key|token$|secret|password|authorization|bearer", re.IGNORECASE)
LOGIN = re.compile(r"(?<=://)[^/@\s]+@")


@dataclass(frozen=True)
class RunFacts:
    """What is known of one run."""

    folder: Path
    run: Mapping[str, Any]
    pairs: list[WeightedPair]
    training: Mapping[str, Any]
    measures: Mapping[str, Any]
    answers: list[Mapping[str, Any]]
    attention: list[Mapping[str, Any]]

    @property
    def name(self) -> str:
        """The run folder's name."""
        return self.folder.resolve().name

    @cached_property
    def recipe(self) -> dict[str, Any]:
        """The resolved recipe, without anything that looks like a key."""
        hidden: dict[str, Any] = without_keys(self.run["recipe"])
        return hidden

    @property
    def restricted(self) -> bool:
        """Whether anything in it is of restricted data; also when nothing has been read yet and it may be."""
        sections = [self.recipe["data"], (self.recipe.get("evaluate") or {}).get("data", {})]
        return (
            bool(self.run.get("restricted", False))
            or any(section.get("restricted", False) for section in sections)
            or any(item.pair.case.restricted for item in self.pairs)
            or any(row["restricted"] for row in self.answers)
        )

    @property
    def trained(self) -> bool:
        """Whether there is an after."""
        return any("after" in measured for measured in self.measures.get("measures", ()))


def read_facts(folder: Path) -> RunFacts:
    """Read a run folder. Raises DataError when one of its files is broken."""
    run = {"flow": {}, "scoring": {}, "detector": {}, "spent": {}, **read_json(folder / "run.json")}
    asked = run["recipe"]
    training = read_json(folder / "training.json") if asked.get("train") else None
    evaluated = bool(asked.get("evaluate"))
    return RunFacts(
        folder=folder,
        run=run,
        pairs=read_pairs(folder) if (folder / "pairs.jsonl").exists() else [],
        training=(training or {}).get("summary", {}),
        measures=(read_json(folder / "measures.json") if evaluated else None) or {},
        answers=list(_lines(folder / "answers.jsonl")) if evaluated else [],
        attention=list(_lines(folder / ATTENTION)) if evaluated else [],
    )


def _lines(path: Path) -> Iterator[Mapping[str, Any]]:
    if not path.exists():
        return
    try:
        yield from (row.values for row in jsonl_rows(path))
    except DataError as error:
        raise DataError(f"{error}; run its recipe again") from error


def state_of(folder: Path) -> str:
    """Hash what a report on this run would be made of. Raises DataError when the folder is no run."""
    if not (folder / "run.json").exists():
        raise DataError(f"{folder}: is no run folder; it has no run.json")
    state = hashlib.sha256()
    for name in FILES:
        path = folder / name
        state.update(f"{name} ".encode() + (path.read_bytes() if path.exists() else b"-"))
    return state.hexdigest()


def without_keys(value: Any) -> Any:
    """Return JSON in which nothing that is named like a key, and no login in an address, is left."""
    if isinstance(value, Mapping):
        return {key: _hidden(str(key), item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_keys(item) for item in value]
    return LOGIN.sub("", value) if isinstance(value, str) else value


def _hidden(key: str, value: Any) -> Any:
    return "(hidden)" if isinstance(value, str) and SECRET.search(key) else without_keys(value)


def keys_in_use(value: Any) -> Iterator[str]:
    """Yield the keys that a recipe's endpoints take from the environment, as far as they are there now."""
    if isinstance(value, Mapping):
        named = [value.get("key_from"), "OPENAI_API_KEY", "AZURE_OPENAI_API_KEY"] if "base_url" in value else []
        yield from (os.environ[name] for name in named if name and len(os.environ.get(name, "")) >= 8)
    for inner in value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ():
        yield from keys_in_use(inner)
