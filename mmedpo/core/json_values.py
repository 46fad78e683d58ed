"""Plain values of what others return: numbers of numpy and torch become Python's; what JSON does not hold is refused.

Each function raises ValueError that says, for the end of a sentence, what came instead.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import is_dataclass
from numbers import Integral, Real
from typing import Any

from mmedpo.core.answers import replace_surrogates
from mmedpo.core.records import to_json

Keys = tuple[str | int, ...]  # the way to a value within others: ("disprefer", 0, "step")
LARGEST = 1e300  # so that no difference of two is infinite
DEEPEST = 64  # values within values; what nests deeper, or within itself, is no fact about a case


def require_number(value: Any) -> float:
    """Return a finite number as a float."""
    if type(value) is float and -LARGEST <= value <= LARGEST:
        return value
    value = _to_python(value)
    if not isinstance(value, Real):
        raise ValueError(f"{describe_value(value)}, not a number")
    try:
        made = float(value)
    except (OverflowError, ValueError):
        raise ValueError("a number that is too large") from None
    if not math.isfinite(made):
        raise ValueError(f"{made}")
    if abs(made) > LARGEST:
        raise ValueError("a number that is too large")
    return made


def require_text(value: Any) -> str:
    """Return a text that a file can hold."""
    if not isinstance(value, str):
        raise ValueError(f"{describe_value(value)}, not a text")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{value.encode(errors='replace').decode()[:40]!r}, which holds half a character") from None
    return value


def require_answer(value: Any) -> str:
    """Return what a model said as a text that a file can hold."""
    return require_text(replace_surrogates(value) if isinstance(value, str) else value)


def require_json(value: Any, deep: int = 0) -> Any:
    """Return a JSON value; tuples become lists, records what they are in a file."""
    value = _to_python(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return require_text(value)
    if isinstance(value, Real):
        made = require_number(value)
        return int(value) if isinstance(value, Integral) else made
    if deep == DEEPEST:
        raise ValueError("values nested too deep")
    if isinstance(value, Mapping):
        return {require_text(key): require_json(item, deep + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [require_json(item, deep + 1) for item in value]
    if is_dataclass(value) and not isinstance(value, type):
        return require_json(to_json(value), deep + 1)
    raise ValueError(f"{describe_value(value)}, which JSON does not hold")


def _to_python(value: Any) -> Any:
    """Return Python's own number for one of numpy or torch."""
    return value.item() if getattr(value, "ndim", None) == 0 and callable(getattr(value, "item", None)) else value


def describe_value(value: Any) -> str:
    """Name what somebody returned, in a few words."""
    if value is None:
        return "None"
    try:
        said = " ".join(repr(value).split())
    except Exception:  # a stranger's repr may do anything
        said = ""
    return f"{type(value).__name__} {said[:40].encode(errors='replace').decode()}".strip()
