"""What weights can do, by arithmetic: the dose of bad pairs that a weighting leaves, and what of the damage it repairs.

    python examples/studies/law.py        # what docs/studies/weights.md was begun with

A loss is a weighted sum over pairs, so a weighted set in which a share p of the pairs is bad trains like an unweighted
one in which the share is p' = (sum of the bad pairs' weights) / (sum of all weights).
"""

from __future__ import annotations

from itertools import product
from math import sqrt

HIGH, LOW = 0.9, 0.1  # the relevances that a voter of known error rate gives
DOSES = (0.1, 0.25, 0.5)
ERRORS = (0.0, 0.1, 0.25, 0.4, 0.5)


def repaired(dose: float, left: float) -> float:
    """Return the share of the damage that goes with the dose, as long as damage is proportional to it."""
    return 1 - left / dose


def expect_dose(weighting: str, dose: float, error: float) -> float:
    """Return p' for a voter that takes bad for good, and good for bad, so often."""
    flagged = dose * (1 - error) + (1 - dose) * error
    good, bad = _weigh(weighting, flagged)
    on_bad = dose * ((1 - error) * bad + error * good)
    return on_bad / (on_bad + (1 - dose) * (error * bad + (1 - error) * good))


def _weigh(weighting: str, flagged: float) -> tuple[float, float]:
    """Return the weights of a pair rated HIGH and of one rated LOW, where a share is rated LOW."""
    if weighting in ("clinical", "wide"):
        low, high = (0.75, 1.25) if weighting == "clinical" else (0.25, 1.75)
        spread = sqrt(0.1) / sqrt(flagged * (1 - flagged))
        return min(1 + spread * flagged, high), max(1 - spread * (1 - flagged), low)
    return {"uniform": (1.0, 1.0), "raw": (HIGH, LOW), "filter": (1.0, 0.0)}[weighting]


def list_law() -> list[dict[str, float | str]]:
    """Return what each weighting leaves of each dose, and repairs of the damage, with a voter of each error rate."""
    rows: list[dict[str, float | str]] = []
    for error, dose, weighting in product(ERRORS, DOSES, ("clinical", "wide", "raw", "filter")):
        left = expect_dose(weighting, dose, error)
        share = repaired(dose, left)
        rows.append({"error": error, "dose": dose, "weighting": weighting, "left": left, "repaired": share})
    return rows


def main() -> None:
    """Print what is predicted before any run."""
    for row in list_law():
        print(" | ".join(f"{value:.3f}" if isinstance(value, float) else value for value in row.values()))


if __name__ == "__main__":
    main()
