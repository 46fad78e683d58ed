"""How a benchmark gives its figures: with four digits, in a file as far as they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def rounded(value: Any) -> Any:
    """Give every number four digits, all through."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    return value


def write(path: Path | None, result: dict[str, Any]) -> None:
    """Write the JSON where a file is named; done anew as figures come, so that little is lost with the process."""
    if path:
        path.write_text(json.dumps(rounded(result), indent=2))
