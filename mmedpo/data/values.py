"""Values as data files give them: what stands for nothing is None, and what no record can hold is refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from math import isfinite
from typing import Any, TypeGuard

DEEPEST = 100  # values within values; a pair that we write holds some more than what was read
MOST_DIGITS = 300  # of a whole number: more do not fit into a float
_TOO_LARGE = 10**MOST_DIGITS
_NOTHING = ("NAType", "NaTType")  # of pandas, by name so that it need not be installed


def tidy_value(value: Any, deep: int = 0) -> Any:
    """Return a value in Python's own types; NaN, NaT and NA are None wherever they stand, as null is.

    Raises ValueError that says, after the name of what held it, what no record can hold.
    """
    kind = type(value)  # most of what files hold is settled at once
    if value is None or kind is bool or (kind is str and value.isascii()):
        return value
    if kind is int and -_TOO_LARGE < value < _TOO_LARGE:
        return value
    if kind is list and deep < DEEPEST:
        return [tidy_value(item, deep + 1) for item in value]
    if kind is float:
        return None if value != value else value
    value = _of_python(value)
    if isinstance(value, str):
        return _whole_text(value)
    if isinstance(value, float):
        return None if value != value else value
    if isinstance(value, int) and not -_TOO_LARGE < value < _TOO_LARGE:
        raise ValueError(f"holds a number of more than {MOST_DIGITS} digits")
    if isinstance(value, Mapping | list | tuple):
        if deep == DEEPEST:
            raise ValueError(f"nests values more than {DEEPEST} deep")
        if isinstance(value, Mapping):
            return {_whole_text(str(key)): tidy_value(item, deep + 1) for key, item in value.items()}
        return [tidy_value(item, deep + 1) for item in value]
    return value


def _of_python(value: Any) -> Any:
    """Return Python's own value for one of numpy, pandas, decimal or datetime."""
    if value is None or type(value) in (str, int, float, bool, list, dict):
        return value
    if type(value).__name__ in _NOTHING:
        return None
    if hasattr(value, "dtype") and hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Decimal):
        return None if value.is_nan() else float(value) if value % 1 else int(value)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    return str(value) if isinstance(value, timedelta) else value


def _whole_text(text: str) -> str:
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError as error:
        half = f"\\u{ord(text[error.start]):04x}"
        raise ValueError(f"holds half a character ({half}); write the whole one, or take it out") from None
    return text


def parse_json(text: str, start: int | None = None) -> Any:
    """Return the value of a JSON text; from `start` on, the value there and where it ends.

    Raises json.JSONDecodeError where the text is broken, else ValueError that says, after a name, what is wrong.
    """
    try:
        return _DECODER.decode(text) if start is None else _DECODER.raw_decode(text, start)
    except json.JSONDecodeError:
        raise
    except RecursionError:
        raise ValueError("nests values within values without end") from None
    except ValueError as error:  # Python turns no more than 4,300 digits into a number
        raise ValueError("holds a number of thousands of digits" if "digits" in str(error) else str(error)) from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object; of two values under one key, JSON would let the last win without a word."""
    made = dict(pairs)
    if len(made) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"has the key {next(key for key in keys if keys.count(key) > 1)!r} twice")
    return made


_DECODER = json.JSONDecoder(object_pairs_hook=_once)


def written(number: float) -> str:
    """Write a number as a text: 2.0 as "2", since a column of whole numbers with gaps holds floats."""
    whole = isinstance(number, float) and number.is_integer() and abs(number) < 2**53
    return str(int(number)) if whole else str(number)


def is_number(value: Any) -> TypeGuard[float]:
    """Tell a finite number from anything else; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
