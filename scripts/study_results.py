"""What a study found, read from docs/studies/results, and how its numbers are written on a page."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Row = Mapping[str, Any]


@dataclass(frozen=True)
class StudyResults:
    """A results file: what is in it by name, as `presence.settings`, and the rows that pages ask for most."""

    name: str
    found: Mapping[str, Any]

    def __getattr__(self, part: str) -> Any:
        """Return a part of the file."""
        if part.startswith("_") or part not in self.found:
            raise AttributeError(f"the results {self.name} have no {part}")
        return self.found[part]

    def value(self, method: str, measure: str) -> float:
        """Return a measure of a method."""
        return float(find_row(self.table, method=method, measure=measure)["value"])

    def contrast(self, method: str, against: str, measure: str) -> Row:
        """Return the difference of two methods in a measure, with its interval and p-value."""
        return find_row(self.contrasts, method=method, against=against, measure=measure)

    def control(self, method: str, name: str) -> float:
        """Return a control of a method, the mean over bases."""
        values = [float(base[name]) for base in self.controls[method]]
        return sum(values) / len(values)


def read_results(folder: Path) -> dict[str, StudyResults]:
    """Return the results of each study by the name of its file, with what Python allows in a name."""
    files = {path.stem.replace("-", "_"): path for path in sorted(folder.glob("*.json"))}
    return {name: StudyResults(name, json.loads(path.read_text())) for name, path in files.items()}


def select_rows(rows: Sequence[Row], **where: Any) -> list[Row]:
    """Return the rows that have these values."""
    return [row for row in rows if all(row.get(key) == value for key, value in where.items())]


def find_row(rows: Sequence[Row], **where: Any) -> Row:
    """Return the one row that has these values."""
    found = select_rows(rows, **where)
    if len(found) != 1:
        raise LookupError(f"{len(found)} rows of the results have {where}, and a page tells of one")
    return found[0]


def write_share(value: float) -> str:
    """Write a share or another figure of three places: .948, 1, 0."""
    text = f"{value:.3f}"
    return f"{value:.0f}" if value in (0, 1) else text.replace("0.", ".", 1) if abs(value) < 1 else text


def write_signed(value: float) -> str:
    """Write a difference: +.012, .000."""
    text = f"{value:+.3f}"
    return ".000" if float(text) == 0 else text.replace("0.", ".", 1) if abs(float(text)) < 1 else text


def write_interval(row: Row) -> str:
    """Write the interval of a difference: -.033 to +.003."""
    return f"{write_signed(row['low'])} to {write_signed(row['high'])}"


def write_percent(value: float) -> str:
    """Write a share in hundredths: 4 %."""
    return f"{100 * value:.0f} %"


def write_millions(value: float) -> str:
    """Write how many millions: 1.7."""
    return f"{value / 1e6:.1f}"


def write_chance(p: float) -> str:
    """Write a p-value with what of it can be told apart: .009, .22, 1."""
    if p < 0.001:
        return "below .001"
    return "1" if p >= 0.995 else (f"{p:.3f}" if p < 0.1 else f"{p:.2f}").replace("0.", ".", 1)


FILTERS = {
    "where": select_rows,
    "one": find_row,
    "share": write_share,
    "signed": write_signed,
    "interval": write_interval,
    "percent": write_percent,
    "chance": write_chance,
    "millions": write_millions,
}
