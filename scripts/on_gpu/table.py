"""The figures of all steps as one table of plain text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from running import Done

Row = tuple[str, ...]


def table(done: Sequence[Done]) -> str:
    """Return a line a step, and under it its figures."""
    lines = []
    for step in done:
        lines.append(f"{step.name:24} {step.status:12} {step.seconds:6.1f} s  {step.why}".rstrip())
        lines += [f"    {line}" for line in figures(step.found)]
    return "\n".join(lines)


def figures(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield a step's figures in lines."""
    for name, shape in found.get("shapes", {}).items():
        yield from trained(name, shape)
    for name, run in found.get("runs", {}).items():
        yield f"{name:22} {run.get('failed') or said(run | run['loss'], ('trained', 'first', 'last', 'seconds'))}"
    for name, measures in found.get("apart_from_cpu", {}).items():
        yield f"{name} differs from the CPU by {said(measures) or 'nothing'}"
    if "contrasts" in found:
        yield from compared(found)
    elif "shapes" not in found and "runs" not in found:
        yield from plain(found)


def trained(name: str, shape: Mapping[str, Any]) -> Iterator[str]:
    """Yield what contenders came to on a shape."""
    for contender, row in shape["contenders"].items():
        wanted = ("pairs_per_s", "batch", "peak_gb", "warm_up_s", "tiled_share", "forward_alone", "no_room_for_batches")
        yield f"{name} {contender:12} {row.get('failed') or said(row, wanted)}"
    for pair, apart in shape.get("gradients", {}).items():
        yield f"{name} gradients of {pair}: {said(apart)}"
    if ratios := {key: value for key, value in shape.items() if "_over_" in key or key.endswith(("share", "ratio"))}:
        yield f"{name} {said(ratios)}"


def compared(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield what methods came to, and the differences that were asked for."""
    for method in dict.fromkeys(row["method"] for row in found["table"]):
        yield f"{method:22} {said({row['measure']: row['value'] for row in found['table'] if row['method'] == method})}"
    for row in found["contrasts"]:
        gap = f"{row['difference']:+.3f} ({row['low']:+.3f} to {row['high']:+.3f}), p {row['p_holm']:.3f} by Holm"
        yield f"{row['method']} - {row['against']}, {row['measure']}: {gap}"


def plain(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield nested figures, a group a line."""
    if alone := {key: value for key, value in found.items() if not isinstance(value, dict | list)}:
        yield said(alone)
    for key, value in found.items():
        if isinstance(value, dict):
            yield f"{key}: {said(value)}"


def said(values: Mapping[str, Any], wanted: Sequence[str] = ()) -> str:
    """Write values in one line, those wanted in their order; what is empty is left out."""
    names = wanted or tuple(values)
    return ", ".join(f"{name} {number(values[name])}" for name in names if values.get(name) not in (None, [], {}, ""))


def number(value: Any) -> str:
    """Write a value, a number with four digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
