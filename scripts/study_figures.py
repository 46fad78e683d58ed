"""The figures of the studies' pages: gain by dose, what was found against what was predicted, contrasts.

They are drawn as the report's are and bring their colours along, for light pages and for dark ones. A row is what a
results file has: `dose`, `predicted`, `observed` (or `difference`), `low`, `high`, `measure`, and names.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup

from mmedpo.report.figures import FAINT, INK, ONE, TWO, open_drawing
from mmedpo.report.sentences import measure_words

Row = Mapping[str, Any]
# One colour a line; the report has two, and those behind them are these figures' own.
LINES = {ONE: "o", TWO: "s", "#060708": "^", "#070809": "D", "#08090a": "v", "#090a0b": "P", "#0a0b0c": "X"}
LIGHT = ("#1c2326", "#5f6a6e", "#dcdad3", "#11686b", "#b04a17", "#5b4a9e", "#8a6d00", "#a3256b", "#4a6070", "#3f7a2c")
DARK = ("#e5e7e3", "#98a3a5", "#3f484b", "#62c2bb", "#f0986a", "#a79be8", "#d9bd4d", "#ee86b7", "#9db3c2", "#8fce7a")
NAMES = ("ink", "faint", "rule", "one", "two", "three", "four", "five", "six", "seven")
OWN = dict(zip(list(LINES)[2:], NAMES[5:], strict=True))
LESS = ("false_claims", "missed", "closed_unparsed")  # of which less is better
DASHES = (0, (4, 2.5))
DIGEST = re.compile(r' data-digest="(\w+)"')


@dataclass(frozen=True)
class StudyFigure:
    """A figure of a kind, of what rows it is drawn, and what else is said of it."""

    kind: str
    rows: Sequence[Row]
    options: Mapping[str, Any] = field(default_factory=dict)

    def draw(self) -> str:
        """Return it as a file, with a digest of what it shows and of how."""
        svg = make_file(DRAWN[self.kind](self.rows, **self.options))
        return svg.replace("<svg", f'<svg data-digest="{self.digest(svg)}"', 1)

    def is_drawn(self, svg: str) -> bool:
        """Tell whether a file shows these rows, and is as it was written; which matplotlib drew it does not matter."""
        return DIGEST.findall(svg) == [self.digest(DIGEST.sub("", svg))]

    def digest(self, svg: str) -> str:
        """Return the digest of rows, options and a file."""
        told = json.dumps([self.kind, self.rows, self.options], sort_keys=True, default=list)
        return hashlib.sha256(f"{told}{svg}".encode()).hexdigest()[:16]


def make_file(drawn: Markup) -> str:
    """Make a drawing a file of its own: with a size, and with the colours that the report's style sheet has."""
    svg = str(drawn)
    for colour, name in OWN.items():
        svg = svg.replace(colour, f"var(--{name})")
    light, dark = (
        " ".join(f"--{name}: {colour};" for name, colour in zip(NAMES, colours, strict=True))
        for colours in (LIGHT, DARK)
    )
    rules = f"svg {{ {light} font-family: system-ui, sans-serif }}"
    style = f"<style>{rules} @media (prefers-color-scheme: dark) {{ svg {{ {dark} }} }}</style>"
    width, height = (float(side) * 4 / 3 for side in re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)[0])
    head, rest = svg.split(">", 1)
    head = re.sub(r' style="[^"]*"', f' width="{width:.0f}" height="{height:.0f}"', head, count=1)
    lines = re.sub(r"<!--.*?-->", "", f"{head}>{style}{rest}").splitlines()
    return "\n".join(line.strip() for line in lines if line.strip()) + "\n"


def draw_doses(
    rows: Sequence[Row],
    line: str = "weighting",
    across: str = "dose",
    label: str = "gain over uniform",
    below: str = "share of bad pairs, %",
) -> Markup:
    """Draw gain against dose with intervals, a line and a panel a weighting; what was predicted is dashed behind it.

    `across` may be any number of a row, and the voter's error, in percent, of rows whose voter is "known+25".
    """
    names = list(dict.fromkeys(row[line] for row in rows))
    columns, doses = min(2, len(names)), sorted({_place(row, across) for row in rows})
    lines = -(-len(names) // columns)
    with open_drawing(4.8, 0.7 + (1.45 if lines > 1 else 1.9) * lines) as (figure, whole, done):
        whole.remove()
        panels = list(figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False).flat)
        for name, axes in zip(names, panels, strict=False):
            own = sorted((row for row in rows if row[line] == name), key=lambda row: _place(row, across))
            places = [_place(row, across) for row in own]
            axes.axhline(0, color=FAINT, linewidth=1)
            axes.plot(
                places,
                [row["predicted"] for row in own],
                color=TWO,
                linestyle=DASHES,
                marker="x",
                markersize=4,
                label="predicted",
            )
            for place, row in zip(places, own, strict=True):
                axes.plot([place] * 2, [row["low"], row["high"]], color=ONE, linewidth=1.4, alpha=0.6)
            found = [row["observed"] for row in own]
            axes.plot(places, found, "o-", color=ONE, markersize=4.5, label="found, 95 % interval")
            axes.set(title=name, xticks=doses, xticklabels=[f"{dose:g}" for dose in doses])
            axes.grid(axis="x", visible=False)
        for axes in panels[len(names) :]:
            axes.remove()
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper left", ncols=2)
        figure.supxlabel(below, fontsize="medium", color=FAINT)
        figure.supylabel(label, fontsize="medium", color=FAINT)
    return done[0]


def draw_levels(
    rows: Sequence[Row], measures: Sequence[str], across: str = "dose", below: str = "share of bad pairs, %"
) -> Markup:
    """Draw what measures come to by dose, one line a measure."""
    ordered = sorted(rows, key=lambda row: _place(row, across))
    places = [_place(row, across) for row in ordered]
    with open_drawing(4.8, 3.0) as (_, axes, done):
        for measure, (colour, mark) in zip(measures, LINES.items(), strict=False):
            axes.plot(places, [row[measure] for row in ordered], color=colour, marker=mark, label=_words(measure))
        axes.set(xlabel=below, xticks=places, xticklabels=[f"{place:g}" for place in places])
        axes.grid(axis="x", visible=False)
        _legend(axes)
    return done[0]


def draw_predictions(rows: Sequence[Row], mark: str = "weighting", label: str = "gain") -> Markup:
    """Draw what was found, with intervals, against what was predicted; on the diagonal both are the same."""
    with open_drawing(4.4, 4.2) as (_, axes, done):
        values = [row[key] for row in rows for key in ("predicted", "low", "high")]
        margin = 0.06 * (max(values) - min(values) or 1)
        ends = (min(values) - margin, max(values) + margin)
        axes.plot(ends, ends, color=FAINT, linewidth=1, linestyle=DASHES)
        names = list(dict.fromkeys(row[mark] for row in rows))
        for name, (colour, shape) in zip(names, LINES.items(), strict=False):
            own = [row for row in rows if row[mark] == name]
            for row in own:
                axes.plot([row["predicted"]] * 2, [row["low"], row["high"]], color=colour, linewidth=1.2, alpha=0.6)
            found = [row["observed"] for row in own]
            axes.plot(
                [row["predicted"] for row in own],
                found,
                shape,
                color=colour,
                markersize=5,
                markeredgewidth=0,
                label=_words(name),
            )
        axes.set(xlabel=f"{label} predicted", ylabel=f"{label} found", xlim=ends, ylim=ends, aspect="equal")
        _legend(axes)
    return done[0]


def draw_contrasts(
    rows: Sequence[Row], names: Mapping[str, str] | None = None, told: Sequence[str] = ("method", "against")
) -> Markup:
    """Draw differences with 95 % intervals, a group a measure; those that Holm leaves sure are in colour.

    A row is called by what is `told` of it, with other `names` for it.
    """
    measures = list(dict.fromkeys(row["measure"] for row in rows))
    ordered = [row for measure in measures for row in rows if row["measure"] == measure]
    places = [-(number + 0.9 * measures.index(row["measure"])) for number, row in enumerate(ordered)]
    with open_drawing(4.8, 0.8 + 0.27 * (len(rows) + len(measures))) as (_, axes, done):
        axes.axvline(0, color=FAINT, linewidth=1)
        for place, row in zip(places, ordered, strict=True):
            colour = _verdict(row)
            axes.plot([row["low"], row["high"]], [place] * 2, color=colour, linewidth=2.2, solid_capstyle="round")
            axes.plot([_gain(row)], [place], "o", color=colour, markersize=5.5)
        axes.set_yticks(places, [" - ".join((names or {}).get(row[key], row[key]) for key in told) for row in ordered])
        for measure in measures:
            first = next(place for place, row in zip(places, ordered, strict=True) if row["measure"] == measure)
            said = _words(measure) + (", less is better" if measure in LESS and "difference" in ordered[0] else "")
            axes.annotate(said, (0, first + 0.55), (2, 0), ("axes fraction", "data"), "offset points", color=INK)
        axes.set(xlabel="difference, with 95 % interval", ylim=(places[-1] - 0.6, 1.2))
        axes.tick_params(axis="y", length=0, labelcolor=FAINT)
        axes.grid(axis="y", visible=False)
        axes.spines["left"].set_visible(False)
    return done[0]


DRAWN: dict[str, Callable[..., Markup]] = {
    "levels": draw_levels,
    "doses": draw_doses,
    "predictions": draw_predictions,
    "contrasts": draw_contrasts,
}


def _place(row: Row, across: str) -> float:
    if across == "error":
        return float(row["voter"].partition("+")[2] or 0)
    return float(row[across])


def _gain(row: Row) -> float:
    return float(row["difference"] if "difference" in row else row["observed"])


def _verdict(row: Row) -> str:
    """Return the colour of what is surely better, surely worse, or neither."""
    if row.get("p_holm", row.get("p", 1)) >= 0.05:
        return FAINT
    less = "difference" in row and row["measure"] in LESS  # of a gain more is better, whatever it is of
    return ONE if (_gain(row) < 0) == less else TWO


def _words(measure: str) -> str:
    return measure_words(measure).replace("f1", "F1")


def _legend(axes: Any) -> None:
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, borderaxespad=0, handlelength=1.8, columnspacing=1.2)
