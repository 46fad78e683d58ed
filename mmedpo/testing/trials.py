"""Try an installed part in a process of its own, and tell of each check as it is done."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from mmedpo.errors import RecipeError
from mmedpo.recipe.document.overrides import apply_override
from mmedpo.recipe.document.yaml import YamlDocument
from mmedpo.recipe.loading import read_recipe
from mmedpo.recipe.model import SLOTS
from mmedpo.registry.inspection import PROCESSES, explain_end, find_named
from mmedpo.registry.plugin_info import PluginInfo
from mmedpo.testing.checks.check import PartCheck
from mmedpo.testing.trial_process import send_checks

LONGEST = 600  # seconds of one check; a backbone on a CPU takes its time


@dataclass(frozen=True)
class PartTrial:
    """An installed part, and the options that it is tried with."""

    plugin: PluginInfo
    options: dict[str, Any] = field(default_factory=dict)

    def carry_out(self) -> Iterator[PartCheck]:
        """Yield what came of each check, from a process of its own; one that it does not survive is broken."""
        reading, writing = PROCESSES.Pipe(duplex=False)
        use = f"{self.plugin.package}/{self.plugin.name}"
        process = PROCESSES.Process(target=send_checks, args=(writing, self.plugin.kind.name, use, self.options))
        process.start()
        writing.close()
        with reading:
            yield from self._receive(reading, process)
        process.kill()  # it has said all; a thread that the plugin started need not end

    def _receive(self, reading: Connection, process: Any) -> Iterator[PartCheck]:
        name, says = "import", "can be imported"
        while True:
            if not reading.poll(LONGEST):
                process.kill()
                yield PartCheck(name, says, "broken", f"{self.plugin} took more than {LONGEST} s")
                return
            try:
                kind, said = json.loads(reading.recv_bytes())
            except EOFError:
                process.join()
                yield PartCheck(name, says, "broken", f"{self.plugin} {explain_end(process.exitcode)}")
                return
            if kind == "end":
                return
            if kind == "refused":
                raise RecipeError(said)
            if kind == "begun":
                name, says = said["name"], said["says"]
            else:
                yield PartCheck(**said)


def plan_trials(name: str, options: Sequence[str], recipe: Path | None) -> list[PartTrial]:
    """Return the trials of the parts of a name: with options as `key=value`, or as often as a recipe names them.

    Raises PluginError where there is no such part, and RecipeError where the recipe does not name it.
    """
    plugins = find_named(name)
    if recipe is None:
        return [PartTrial(plugin, _with_overrides({}, options)) for plugin in plugins]
    tree = read_recipe(recipe)
    named = [PartTrial(plugin, found) for plugin in plugins for found in _find_options(tree, plugin)]
    if not named:
        raise RecipeError(f"{recipe}: names no part {name!r}, so there are no options of it to take")
    return [PartTrial(trial.plugin, _with_overrides(trial.options, options)) for trial in named]


def _with_overrides(values: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    tree = YamlDocument(dict(values))
    for text in overrides:
        apply_override(text, tree)
    made: dict[str, Any] = tree.values
    return made


def _find_options(tree: YamlDocument, plugin: PluginInfo) -> Iterator[dict[str, Any]]:
    """Yield the options of a part, each time that a recipe names it."""
    for path, slot in SLOTS.items():
        held = tree.values
        for key in path:
            held = held.get(key) if isinstance(held, dict) else None
        for item in (held if isinstance(held, list) else [held]) if slot.kind == plugin.kind else ():
            if isinstance(item, dict) and item.get("use") in (plugin.name, f"{plugin.package}/{plugin.name}"):
                yield {key: value for key, value in item.items() if key != "use"}
