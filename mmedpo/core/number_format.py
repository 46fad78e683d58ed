"""How figures are written, on the screen and in the report."""

from __future__ import annotations


def is_count(measure: str) -> bool:
    """Tell whether a measure says how many there were, of cases or of claims: it is told and not tested."""
    return measure == "count" or measure.endswith("_count")


def format_number(value: float | None, measure: str = "") -> str:
    """Write a measure: counts whole, shares with three digits; what its name does not call a count may be one."""
    if value is None:
        return ""
    whole = float(value).is_integer() and (is_count(measure) or abs(value) > 1)
    return f"{value:,.0f}" if whole else f"{value:.3f}"


def format_change(value: float | None, measure: str = "") -> str:
    """Write a difference of a measure with its sign."""
    if value is None:
        return ""
    return f"{value:+,.0f}" if is_count(measure) and float(value).is_integer() else f"{value:+.3f}"


def format_p_value(p: float) -> str:
    """Write a p-value with three digits."""
    return "<0.001" if p < 0.001 else f"{p:.3f}"
