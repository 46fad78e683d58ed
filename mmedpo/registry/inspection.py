"""Look at plugins for people: what a part is, what it costs to import, why it fails."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from mmedpo.errors import PluginError
from mmedpo.registry.discovery import PluginInfo, find_parts, suggest

HEAVY = ("torch", "transformers", "trl", "peft", "monai", "datasets", "accelerate", "openai", "pandas", "scipy")
TIMEOUT = 120  # seconds that a plugin may take to import before it counts as hung


def named(name: str) -> list[PluginInfo]:
    """Return the installed parts of a name, as `name` or `package/name`, of every kind."""
    package, _, short = name.rpartition("/")
    every = find_parts()
    parts = [part for part in every if part.name == short and package in ("", part.package)]
    if not parts:
        raise PluginError(f"there is no part {name!r}; {suggest(short, {part.name for part in every})}")
    return parts


def probe(found: PluginInfo) -> dict[str, Any]:
    """Import a part in a process of its own; return seconds, heavy imports, doc and schema, or an `error`."""
    command = [sys.executable, "-m", "mmedpo.registry.probe", found.kind, f"{found.package}/{found.name}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=TIMEOUT, check=False)
    except subprocess.TimeoutExpired:
        return {"error": f"{found} took more than {TIMEOUT} s to import"}
    if done.returncode < 0:
        return {"error": f"{found} crashed the process: {signal.Signals(-done.returncode).name}"}
    try:
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        return {"error": f"{found} ended the process (exit code {done.returncode}) without a word"}
    return answer


def probe_all(parts: Sequence[PluginInfo]) -> list[dict[str, Any]]:
    """Probe several parts, a few at a time."""
    with ThreadPoolExecutor(max_workers=4) as pool:
        return list(pool.map(probe, parts))


def check_plugins(name: str | None = None) -> list[dict[str, Any]]:
    """Probe one part, or all; a row each, with the line that a person reads."""
    parts = named(name) if name else find_parts()
    return [_row(part, answer) for part, answer in zip(parts, probe_all(parts), strict=True)]


def _row(found: PluginInfo, answer: dict[str, Any]) -> dict[str, Any]:
    error, seconds, heavy = answer.get("error"), answer.get("seconds"), answer.get("heavy", [])
    note = f"  imports {', '.join(heavy)}: import them inside functions" if heavy else ""
    line = f"FAILED  {error}" if error else f"fine    {found}  {seconds:.2f} s{note}"
    return {
        "kind": found.kind,
        "name": found.name,
        "package": found.package,
        "version": found.version,
        "error": error,
        "seconds": seconds,
        "heavy": heavy,
        "line": line,
    }


def describe_part(name: str) -> list[dict[str, Any]]:
    """Return what `plugins show` says of each part of a name. Raises PluginError when one fails."""
    parts = named(name)
    return [_description(part, answer) for part, answer in zip(parts, probe_all(parts), strict=True)]


def _description(found: PluginInfo, answer: dict[str, Any]) -> dict[str, Any]:
    if "error" in answer:
        raise PluginError(answer["error"])
    facts = {"kind": found.kind, "name": found.name, "package": found.package, "version": found.version}
    return facts | {key: answer[key] for key in ("doc", "options", "snippet")}


def described_as_text(description: dict[str, Any]) -> str:
    """Lay a description out for a terminal."""
    head = "{name}: a {kind} of {package} {version}".format(**description)
    lines = [head, "", description["doc"], ""]
    for option in description["options"]:
        default = "required" if option["required"] else f"default {json.dumps(option['default'], ensure_ascii=False)}"
        lines += [f"  {option['name']}: {option['type']} ({default})", f"      {option['description']}".rstrip()]
    lines += ["", "In a recipe:", "", description["snippet"]]
    return "\n".join(line for line in lines)
