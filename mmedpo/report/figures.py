"""The charts, as SVG that takes its colours from the page, so that it is as readable on dark as on light."""

from __future__ import annotations

import hashlib
import re
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import StringIO
from typing import Any

from markupsafe import Markup

from mmedpo.report.lengths import AnswerLengths
from mmedpo.report.measures import MeasureRow
from mmedpo.report.sentences import measure_words

# matplotlib draws in these colours; in the page they stand for the style sheet's variables.
INK, FAINT, RULE, ONE, TWO = "#010203", "#020304", "#030405", "#040506", "#050607"
VARIABLES = {INK: "--ink", FAINT: "--faint", RULE: "--rule", ONE: "--one", TWO: "--two"}
COLOURS = {"text": ONE, "image": TWO, "chosen": ONE, "rejected": TWO, "before": TWO, "after": ONE}
POINTS = 240  # of a curve, at most
STYLE = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9.5,
    "text.color": INK,
    "axes.labelcolor": FAINT,
    "axes.edgecolor": RULE,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "xtick.color": RULE,
    "ytick.color": RULE,
    "xtick.labelcolor": FAINT,
    "ytick.labelcolor": FAINT,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "lines.linewidth": 1.6,
}


@contextmanager
def open_drawing(width: float, height: float) -> Iterator[tuple[Any, Any, list[Markup]]]:
    """Give a figure of some inches and its axes; what is drawn is in the list afterwards."""
    import matplotlib
    from matplotlib.figure import Figure

    done: list[Markup] = []
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": "mmedpo"}):
        figure = Figure(figsize=(width, height), layout="constrained")
        axes = figure.add_subplot()
        yield figure, axes, done
        file = StringIO()
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    done.append(_inline(file.getvalue()))


def _inline(svg: str) -> Markup:
    """Make a file of its own part of a page: ids of its own, the page's rules, as wide as there is room."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<defs>\s*<style.*?</style>\s*</defs>", "", svg, flags=re.DOTALL)
    width = float(re.search(r'width="([\d.]+)pt"', svg).group(1))  # type: ignore[union-attr]
    svg = re.sub(r' width="[\d.]+pt"| height="[\d.]+pt"', "", svg, count=2)
    number = f"f{hashlib.sha256(svg.encode()).hexdigest()[:8]}-"  # no two figures of a page may share an id
    svg = re.sub(r'\bid="', f'id="{number}', svg)
    svg = re.sub(r'(href="#|url\(#)', rf"\g<1>{number}", svg)
    for colour, variable in VARIABLES.items():
        svg = svg.replace(colour, f"var({variable})")
    svg = re.sub(r"font: [^;\"]*?([\d.]+)px[^;\"]*", r"font-size: \1px", svg)
    svg = re.sub(r"font-family: [^;\"]*; ", "", svg)  # which some versions of matplotlib write apart
    return Markup(svg.replace("<svg", f'<svg role="img" style="max-width: {width * 4 / 3:.0f}px"', 1))


def histogram(values: Mapping[str, array[Any]], label: str, ends: tuple[float, float] | None = None) -> Markup:
    """Draw how many pairs have which value, one series a name."""
    import numpy as np

    low, high = ends or (min(map(min, values.values())), max(map(max, values.values())))
    high = high if high > low else low + 1
    with open_drawing(4.0, 2.5) as (_, axes, done):
        width = (high - low) / 20
        edges = [low + width * step for step in range(21)]
        colours = [COLOURS.get(name, ONE) for name in values]
        axes.hist(
            [np.asarray(some) for some in values.values()],
            bins=edges,
            color=colours,
            label=list(values),
            stacked=True,
            rwidth=0.9,
        )
        axes.set(xlabel=label, ylabel="pairs")
        axes.grid(axis="x", visible=False)
        _legend(axes, values)
    return done[0]


def of_lengths(lengths: AnswerLengths) -> Markup:
    """Draw the lengths of chosen and rejected answers against each other."""
    import numpy as np

    longest = max(map(max, (lengths.chosen, lengths.rejected)))
    with open_drawing(4.0, 2.5) as (_, axes, done):
        width = max(1, -(-longest // 16))  # whole words, so that no bar counts more lengths than its neighbours
        edges = [step * width - 0.5 for step in range(longest // width + 2)]
        for name, values in (("chosen", lengths.chosen), ("rejected", lengths.rejected)):
            counted = np.asarray(values)
            axes.hist(counted, bins=edges, histtype="stepfilled", color=COLOURS[name], alpha=0.25)
            axes.hist(counted, bins=edges, histtype="step", color=COLOURS[name], linewidth=1.6, label=name)
        axes.set(xlabel="words of the answer", ylabel="text pairs")
        axes.grid(axis="x", visible=False)
        _legend(axes, ("chosen", "rejected"))
    return done[0]


def _legend(axes: Any, names: Iterable[Any]) -> None:
    if len(list(names)) > 1:
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, borderaxespad=0, handlelength=1.2)


def curves(history: Sequence[Mapping[str, float]], keys: Mapping[str, str], label: str) -> Markup | None:
    """Draw what the trainer logged, one curve a key (key: name); None when it logged none of them."""
    series = {name: [(row["step"], row[key]) for row in history if key in row] for key, name in keys.items()}
    series = {name: _thinned(points) for name, points in series.items() if points}
    if not series:
        return None
    with open_drawing(4.0, 2.5) as (_, axes, done):
        for name, points in series.items():
            axes.plot(*zip(*points, strict=True), color=COLOURS.get(name, ONE), label=name)
        axes.set(xlabel="step", ylabel=label)
        _legend(axes, series)
    return done[0]


def _thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Average neighbours until few enough are left."""
    size = -(-len(points) // POINTS)
    parts = [points[start : start + size] for start in range(0, len(points), size)]
    return [(part[-1][0], sum(value for _, value in part) / len(part)) for part in parts]


def forest(lines: Sequence[MeasureRow]) -> Markup | None:
    """Draw the differences with their intervals; only shares, which have one scale."""
    shown = [line for line in lines if line.low is not None and max(abs(line.before), abs(line.after or 0)) <= 1][::-1]
    if not shown:
        return None
    with open_drawing(4.6, 0.75 + 0.3 * len(shown)) as (_, axes, done):
        axes.axvline(0, color=FAINT, linewidth=1)
        for place, line in enumerate(shown):
            colour = {"better": ONE, "worse": TWO}.get(line.verdict, FAINT)
            axes.plot([line.low, line.high], [place, place], color=colour, linewidth=2.2, solid_capstyle="round")
            axes.plot([line.difference], [place], "o", color=colour, markersize=5.5)
        axes.set_yticks(range(len(shown)), [measure_words(line.name) for line in shown])
        axes.set(xlabel="after less before", ylim=(-0.7, len(shown) - 0.3))
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        axes.grid(axis="y", visible=False)
        axes.spines["left"].set_visible(False)
    return done[0]


def calibration(bins: Sequence[Mapping[str, Any]]) -> Markup | None:
    """Draw what raters say on average of pairs that a run finds so and so relevant, with intervals."""
    if not bins:
        return None
    with open_drawing(3.4, 3.2) as (_, axes, done):
        axes.plot([0, 10], [0, 10], color=FAINT, linewidth=1)
        for one in bins:
            theirs = one["theirs"]
            ends = [theirs.get("low", theirs["value"]), theirs.get("high", theirs["value"])]
            axes.plot([one["ours"]] * 2, ends, color=ONE, linewidth=2.2, solid_capstyle="round")
        axes.plot(
            [one["ours"] for one in bins], [one["theirs"]["value"] for one in bins], "o-", color=ONE, markersize=5
        )
        axes.set(xlabel="relevance of this run", ylabel="raters", xlim=(0, 10), ylim=(0, 10), aspect="equal")
    return done[0]


def reliability(sides: Mapping[str, Sequence[tuple[float, float]]]) -> Markup | None:
    """Draw the share of yes against the mean p(yes) of bins, before and after."""
    if not any(sides.values()):
        return None
    with open_drawing(3.4, 3.2) as (_, axes, done):
        axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1)
        for name, bins in sides.items():
            axes.plot(*zip(*bins, strict=True), "o-", color=COLOURS[name], markersize=5, label=name)
        axes.set(xlabel="p(yes)", ylabel="share of yes", xlim=(0, 1), ylim=(0, 1), aspect="equal")
        _legend(axes, sides)
    return done[0]


def shares(both: Sequence[tuple[float, float]]) -> Markup | None:
    """Draw cases' shares of attention inside the lesion, after against before."""
    if not both:
        return None
    with open_drawing(3.4, 3.2) as (_, axes, done):
        axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1)
        axes.plot(*zip(*both, strict=True), "o", color=ONE, alpha=0.55, markersize=5, markeredgewidth=0)
        axes.set(xlabel="inside the lesion, before", ylabel="after", xlim=(0, 1), ylim=(0, 1), aspect="equal")
    return done[0]
