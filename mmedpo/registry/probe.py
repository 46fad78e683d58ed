"""Import one plugin in this process, and send what it is to another; for `plugins check`, `show` and `schema`."""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import asdict
from multiprocessing.connection import Connection
from typing import Any

from mmedpo.errors import MmedpoError, PluginError
from mmedpo.registry.discovery import load_part, resolve_part
from mmedpo.registry.facts import PartFacts, collect_facts
from mmedpo.registry.failure import describe_failure
from mmedpo.registry.kinds import KINDS, Kind

HEAVY = ("torch", "transformers", "trl", "peft", "monai", "datasets", "accelerate", "openai", "pandas", "scipy")


def send_facts(out: Connection, kind: str, use: str) -> None:
    """Send the part's facts as JSON, or its error as a text; what a plugin prints while it is imported goes nowhere."""
    for number in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), number)
    answer: Any
    try:
        answer = asdict(probe_part(KINDS[kind], use))
    except (MmedpoError, LookupError) as error:
        answer = str(error)
    out.send_bytes(json.dumps(answer).encode())


def probe_part(kind: Kind, use: str) -> PartFacts:
    """Import a part and return its facts, and what the import took."""
    before = set(sys.modules)
    start = time.perf_counter()
    plugin = resolve_part(kind, use)
    cls = load_part(plugin)
    seconds = round(time.perf_counter() - start, 3)
    heavy = [name for name in HEAVY if name in sys.modules and name not in before]
    try:
        return collect_facts(kind, cls, seconds, heavy)
    except Exception as error:  # pydantic's, over a type that JSON has no schema of
        why = describe_failure(plugin, error)
        raise PluginError(f"{plugin} has an option that no recipe can hold: {why}") from error
