"""Look at plugins for people: what a part is, what it costs to import, why it fails."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

from mmedpo.errors import PluginError
from mmedpo.registry.discovery import PluginInfo, find_parts, suggest_word
from mmedpo.registry.facts import OptionFacts, PartFacts, read_facts

TIMEOUT = 120  # seconds that a plugin may take to import before it counts as hung


@dataclass(frozen=True)
class ProbeFailure:
    """Why a part could not be imported."""

    error: str


@dataclass(frozen=True)
class PluginProbe:
    """An installed part, and what came of importing it in a process of its own."""

    plugin: PluginInfo
    result: PartFacts | ProbeFailure

    @property
    def failed(self) -> bool:
        """Whether the part could not be imported."""
        return isinstance(self.result, ProbeFailure)

    @property
    def line(self) -> str:
        """What `plugins check` says of it."""
        if isinstance(self.result, ProbeFailure):
            return f"FAILED  {self.result.error}"
        heavy = self.result.heavy
        note = f"  imports {', '.join(heavy)}: import them inside functions" if heavy else ""
        return f"fine    {self.plugin}  {self.result.seconds:.2f} s{note}"

    def to_json(self) -> dict[str, Any]:
        """Return what `plugins check --json` prints of it."""
        match self.result:
            case ProbeFailure(error):
                told: dict[str, Any] = {"error": error, "seconds": None, "heavy": []}
            case PartFacts(seconds, heavy):
                told = {"error": None, "seconds": seconds, "heavy": heavy}
        return {**self.plugin.to_json(), **told, "line": self.line}


@dataclass(frozen=True)
class PartDescription:
    """What `plugins show` says of a part."""

    plugin: PluginInfo
    facts: PartFacts

    def to_json(self) -> dict[str, Any]:
        """Return what `plugins show --json` prints of it."""
        options = [asdict(option) for option in self.facts.options]
        return {**self.plugin.to_json(), "doc": self.facts.doc, "options": options, "snippet": self.facts.snippet}

    def to_text(self) -> str:
        """Lay it out for a terminal."""
        plugin = self.plugin
        head = f"{plugin.name}: a {plugin.kind} of {plugin.package} {plugin.version}"
        options = [line for option in self.facts.options for line in _option_lines(option)]
        lines = [head, "", self.facts.doc, "", *options, "", "In a recipe:", "", self.facts.snippet]
        return "\n".join(lines)


def _option_lines(option: OptionFacts) -> list[str]:
    default = "required" if option.required else f"default {json.dumps(option.default, ensure_ascii=False)}"
    return [f"  {option.name}: {option.type} ({default})", f"      {option.description}".rstrip()]


def find_named(name: str) -> list[PluginInfo]:
    """Return the installed parts of a name, as `name` or `package/name`, of every kind. Raises PluginError for none."""
    package, _, short = name.rpartition("/")
    every = find_parts()
    plugins = [plugin for plugin in every if plugin.name == short and package in ("", plugin.package)]
    if not plugins:
        raise PluginError(f"there is no part {name!r}; {suggest_word(short, {plugin.name for plugin in every})}")
    return plugins


def probe_plugins(plugins: Sequence[PluginInfo]) -> list[PluginProbe]:
    """Import several parts, each in a process of its own, a few at a time."""
    with ThreadPoolExecutor(max_workers=4) as pool:
        results = list(pool.map(probe_plugin, plugins))
    return [PluginProbe(plugin, result) for plugin, result in zip(plugins, results, strict=True)]


def probe_plugin(plugin: PluginInfo) -> PartFacts | ProbeFailure:
    """Import a part in a process of its own; return its facts, or why there are none."""
    name = f"{plugin.package}/{plugin.name}"
    command = [sys.executable, "-m", "mmedpo.registry.probe", plugin.kind.name, name]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=TIMEOUT, check=False)
    except subprocess.TimeoutExpired:
        return ProbeFailure(f"{plugin} took more than {TIMEOUT} s to import")
    if done.returncode < 0:
        return ProbeFailure(f"{plugin} crashed the process: {signal.Signals(-done.returncode).name}")
    try:
        answer = json.loads(done.stdout.splitlines()[-1])
        return ProbeFailure(answer) if done.returncode == PluginError.exit_code else read_facts(answer)
    except (IndexError, ValueError, TypeError):
        return ProbeFailure(f"{plugin} ended the process (exit code {done.returncode}) without a word")


def check_plugins(name: str | None = None) -> list[PluginProbe]:
    """Probe the parts of one name, or all."""
    return probe_plugins(find_named(name) if name else find_parts())


def describe_part(name: str) -> list[PartDescription]:
    """Return what `plugins show` says of each part of a name. Raises PluginError when one fails."""
    return [_description(probe) for probe in probe_plugins(find_named(name))]


def _description(probe: PluginProbe) -> PartDescription:
    if isinstance(probe.result, ProbeFailure):
        raise PluginError(probe.result.error)
    return PartDescription(probe.plugin, probe.result)
