"""How figures are written, on the screen and in the report."""

from __future__ import annotations


def format_number(value: float | None) -> str:
    """Write a measure: counts whole, shares with three digits."""
    if value is None:
        return ""
    return f"{value:,.0f}" if float(value).is_integer() and abs(value) > 1 else f"{value:.3f}"


def format_p_value(p: float) -> str:
    """Write a p-value with three digits."""
    return "<0.001" if p < 0.001 else f"{p:.3f}"
