"""What a run ends with: who was paid, how training went, measures before and after, and where everything is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mmedpo.cli.display.agreement import agreement_lines
from mmedpo.cli.display.overlap import print_overlap
from mmedpo.core.number_format import format_number
from mmedpo.endpoints.http.body import ODD
from mmedpo.recipe.train_options import NO_SAY

if TYPE_CHECKING:
    from mmedpo.pipeline.stages import RunResult

FILES = (
    ("pairs.jsonl", "every pair with its scores, evidence and weight"),
    ("adapter", "the trained adapter (PEFT)"),
    ("data_card.md", "what the pairs are and how they were made"),
    ("measures.json", "the measures"),
    ("answers.jsonl", "every answer, before and after"),
    ("run.json", "the recipe, versions and counts"),
    ("report.html", "all of it to look at: open it in a browser"),
)


def show_result(result: RunResult) -> None:
    """Print the table before/after and where everything is."""
    console, folder, measures = Console(), result.folder, result.measures
    if not result.did:
        done = f"Nothing to do: {folder} is finished and nothing it depends on has changed."
        console.print(done, highlight=False, soft_wrap=True)
    for line in _result_lines(result):
        console.print(line, highlight=False)
    for measured in measures.get("measures", []):
        if nothing := measured.get("nothing"):
            console.print(f"{measured['use']}: {nothing}", markup=False, highlight=False, soft_wrap=True)
        else:
            console.print(_before_after(measured))
    for use, caution in cautions(measures):
        console.print(f"[bold red]caution[/], {use}: {escape(caution)}", highlight=False, soft_wrap=True)
    if "overlap" in measures:
        print_overlap(console, measures["overlap"])
    for name, what in FILES:
        if (folder / name).exists():
            console.print(f"  {folder / name}  {what}", highlight=False, soft_wrap=True)


def _result_lines(result: RunResult) -> Iterator[str]:
    """Yield a line on the weights, on the training and on the pairs held out of it."""
    for use, summary in result.scoring.items():
        yield from agreement_lines(use, summary)
    for model, paid in result.spent.items():
        vain = paid["possibly paid in vain"]
        lost = f"; {vain:,} replies were lost and may have been charged" if vain else ""
        lost += f"; {waiting:,} more in batches" if (waiting := paid.get("calls in batches")) else ""
        lost += "".join(f"; {paid[name]:,} {name}" for name in ODD if name in paid)
        tokens = f"{paid['tokens in']:,} tokens in, {paid['tokens out']:,} out"
        yield f"{model}: {paid['calls']:,} calls, {tokens}{', ' + str(paid['money']) if paid['money'] else ''}{lost}"
    if result.mean_weights:
        yield "mean weight: " + ", ".join(f"{kind} pairs {mean:.3f}" for kind, mean in result.mean_weights.items())
    if result.training:
        counts, loss = result.training["counts"], result.training["loss"]
        steps = f"trained on {counts['trained']:,} pairs in {result.training['steps']:,} steps"
        if silent := counts.get(NO_SAY):
            yield f"{silent:,} pairs have no say in the loss and were {NO_SAY}"
        yield f"{steps}; loss {format_number(loss['first'])} to {format_number(loss['last'])}"
    held_out = result.training.get("validation", {})
    for kind, held in held_out.items():
        if held["pairs"] and (kind != "all" or len(held_out) > 2):
            ranked = f"{held['accuracy']:.0%} ranked right, reward margin {held['margin']:+.3f}"
            yield f"held-out pairs, {kind} ({held['pairs']:.0f}): {ranked}"


def cautions(measures: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what must be said beside the measures: of the answers, and by each metric."""
    yield from (("answers", caution) for caution in measures.get("cautions", ()))
    for measured in measures.get("measures", ()):
        yield from ((measured["use"], caution) for caution in measured.get("cautions", ()))


def _before_after(measured: Mapping[str, Any]) -> Table:
    """Make the table of one metric; the interval is that of the difference."""
    table = Table(title=measured["use"], title_justify="left")
    for name in ("measure", "before", "after", "difference", "95 % interval"):
        table.add_column(name, justify="left" if name == "measure" else "right", overflow="fold")
    after, difference = measured.get("after", {}), measured.get("difference", {})
    for name, value in measured["before"].items():
        gap = difference.get(name, {})
        interval = f"{gap['low']:+.3f} to {gap['high']:+.3f}" if "low" in gap else ""
        change = f"{gap['value']:+.3f}" if gap else ""
        told = any(gap.get(key) for key in ("value", "low", "high"))
        if not told:  # a count, or a measure that is the same in every resample
            interval = change = ""
        table.add_row(name, format_number(value), format_number(after.get(name)), change, interval)
    return table
