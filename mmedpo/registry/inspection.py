"""Look at plugins for people: what a part is, what it costs to import, why it fails."""

from __future__ import annotations

import json
import multiprocessing
import signal
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

from mmedpo.errors import PluginError
from mmedpo.registry.discovery import find_parts, suggest_word
from mmedpo.registry.facts import OptionFacts, PartFacts, read_facts
from mmedpo.registry.kinds import KINDS
from mmedpo.registry.plugin_info import PluginInfo
from mmedpo.registry.probe import send_facts

# Where a system can fork, one process has imported what every part needs, and nothing heavy, and forks one for each.
METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
PROCESSES: Any = multiprocessing.get_context(METHOD)
SHARED = [
    "mmedpo.registry.probe",
    "mmedpo.registry.hookspecs",
    *(kind.home.partition(":")[0] for kind in KINDS.values()),
]
PROCESSES.set_forkserver_preload(SHARED)
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
        silent = [option.name for option in self.result.options if not option.description]
        note += f"  says nothing of {', '.join(silent)}: put a text under each" if silent else ""
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
    reading, writing = PROCESSES.Pipe(duplex=False)
    process = PROCESSES.Process(target=send_facts, args=(writing, plugin.kind.name, f"{plugin.package}/{plugin.name}"))
    process.start()
    writing.close()
    with reading:
        if not reading.poll(TIMEOUT):
            process.kill()
            return ProbeFailure(f"{plugin} took more than {TIMEOUT} s to import")
        try:
            answer = json.loads(reading.recv_bytes())
        except EOFError:
            process.join()
            return ProbeFailure(f"{plugin} {explain_end(process.exitcode)}")
    process.kill()  # it has said all; a thread that the plugin started need not end
    return ProbeFailure(answer) if isinstance(answer, str) else read_facts(answer)


def explain_end(code: int) -> str:
    """Say how a process ended that did not say all."""
    if code < 0:
        return f"crashed the process: {signal.Signals(-code).name}"
    return f"ended the process (exit code {code}) without a word"


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
