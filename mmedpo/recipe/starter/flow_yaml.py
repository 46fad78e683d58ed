"""Values as they stand in a recipe's line: YAML's flow style, quoted where a text would mean something else."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_PLAIN = re.compile(r"[A-Za-z_./~][\w./~ -]*(?<! )", re.ASCII)
_WORDS = ("null", "true", "false", "~")


def flow(value: Any) -> str:
    """Return a value as YAML in one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{flow(str(key))}: {flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(flow, value)) + "]"
    if isinstance(value, str | Path):
        text = str(value)
        return text if _PLAIN.fullmatch(text) and text.lower() not in _WORDS else json.dumps(text, ensure_ascii=False)
    return json.dumps(value)
