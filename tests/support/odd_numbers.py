"""Values that stand where a number should, and most are none."""

from __future__ import annotations

from typing import Any

NAN = float("nan")
ODD: dict[str, Any] = {
    "nan": NAN,
    "none": None,
    "text": "0.5",
    "infinite": float("inf"),
    "complex": 1j,
    "huge": 10**400,
    "list": [0.5],
    "mapping": {},
    "object": object(),
    "negative": -0.5,
    "zero": 0.0,
}
NO_NUMBERS = [name for name in ODD if name not in ("negative", "zero")]
