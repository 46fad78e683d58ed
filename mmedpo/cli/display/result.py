"""What a run ends with: who was paid, how training went, measures before and after, and where everything is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from mmedpo.cli.display.agreement import describe_agreement
from mmedpo.cli.display.methods import print_methods
from mmedpo.cli.display.overlap import print_overlap
from mmedpo.cli.display.terminal import Terminal
from mmedpo.core.number_format import format_change, format_number
from mmedpo.report.measures import describe_cut_answers
from mmedpo.store.run_files.counts import sum_counts
from mmedpo.store.run_files.format import read_file
from mmedpo.store.run_files.measures import RoundTable
from mmedpo.store.run_files.rounds import list_rounds

if TYPE_CHECKING:
    from mmedpo.pipeline.run import RunResult
    from mmedpo.store.run_files.measures import MeasureRecord, MetricResult, TrainingRecord
    from mmedpo.store.run_files.record import ModelSpending

FILES = (
    ("pairs.jsonl", "every pair with its scores, evidence and weight"),
    ("cases.jsonl", "every case that training learns"),
    ("dropped.jsonl", "cases that gave no pair, and why"),
    ("adapter", "the trained adapter (PEFT)"),
    ("data_card.md", "what the pairs are and how they were made"),
    ("measures.json", "the measures"),
    ("answers.jsonl", "every answer, before and after"),
    ("run.json", "the recipe, versions and counts"),
    ("rounds.json", "how the rounds compare"),
    ("report.html", "all of it to look at: open it in a browser"),
)


def show_result(result: RunResult) -> None:
    """Print the table before/after, of a run in rounds over them, and where everything is."""
    console, folder, measures = Terminal(), result.folder, result.measures
    if not result.did:
        done = f"Nothing to do: {folder} is finished and nothing it depends on has changed."
        console.print(done, highlight=False, soft_wrap=True)
    for line in _describe_result(result):
        console.print(line, highlight=False)
    if measures:
        _show_measures(console, measures)
    if result.rounds and (table := read_file(folder, RoundTable)) and table.against_start:
        console.print(f"what is above is round {len(result.rounds)}; all rounds, and the start:", highlight=False)
        print_methods(console, table, "round")
    for place in (*list_rounds(folder)[-1:], folder):
        _list_files(console, place)


def _list_files(console: Terminal, folder: Path) -> None:
    for name, what in FILES:
        if (folder / name).exists():
            console.print(f"  {folder / name}  {what}", highlight=False, soft_wrap=True)


def _show_measures(console: Terminal, measures: MeasureRecord) -> None:
    for measured in measures.measures:
        if measured.nothing:
            console.print(f"{measured.use}: {measured.nothing}", markup=False, highlight=False, soft_wrap=True)
        else:
            console.print(_build_table(measured))
    for use, caution in list_cautions(measures):
        console.print(
            f"[bold red]caution[/], {escape(use)}: {escape(caution)}", highlight=False, soft_wrap=True, markup=True
        )
    print_overlap(console, measures.overlap)


def _describe_result(result: RunResult) -> Iterator[str]:
    """Yield a line on the weights, on the training and on the pairs held out of it."""
    for use, summary in result.run.scoring.items():
        yield from describe_agreement(use, summary)
    yield from (_describe_spending(model, paid) for model, paid in result.run.spent.items())
    if result.mean_weights:
        yield "mean weight: " + ", ".join(f"{kind} pairs {mean:.3f}" for kind, mean in result.mean_weights.items())
    if result.training:
        yield from _describe_training(result.training)


def _describe_spending(model: str, paid: ModelSpending) -> str:
    """Say what a model's endpoint was paid, and what was odd about it."""
    odd = {
        "replies were lost and may have been charged": paid.lost_replies,
        "more in batches": paid.calls_in_batches,
        "calls with unknown usage, counted at most": paid.unknown_usage,
        "answers with half characters, replaced": paid.half_characters,
    }
    more = "".join(f"; {count:,} {what}" for what, count in odd.items() if count)
    tokens = f"{paid.tokens_in:,} tokens in, {paid.tokens_out:,} out"
    return f"{model}: {paid.calls:,} calls, {tokens}{f', {paid.money}' if paid.money else ''}{more}"


def _describe_training(training: TrainingRecord) -> Iterator[str]:
    if silent := sum_counts(training.counts, "weightless_pairs"):
        yield f"{silent:,} pairs have no say in the loss and were left out: weight or coefficient 0"
    loss = f"{format_number(training.loss.first)} to {format_number(training.loss.last)}"
    yield f"trained on {training.trained:,} {training.examples} in {training.steps:,} steps; loss {loss}"
    for kind, held in training.validation.items():
        if held.pairs and (kind != "all" or len(training.validation) > 2):
            ranked = f"{held.accuracy:.0%} ranked right, reward margin {held.margin:+.3f}"
            yield f"held-out pairs, {kind} ({held.pairs}): {ranked}"


def list_cautions(measures: MeasureRecord) -> Iterator[tuple[str, str]]:
    """Yield what must be said beside the measures: of the answers, and by each metric."""
    if caution := describe_cut_answers(measures):
        yield "answers", caution
    for measured in measures.measures:
        yield from ((measured.use, caution) for caution in measured.cautions)


def _build_table(measured: MetricResult) -> Table:
    """Make the table of one metric; the interval is that of the difference."""
    table = Table(title=measured.use, title_justify="left")
    for name in ("measure", "before", "after", "difference", "95 % interval"):
        table.add_column(name, justify="left" if name == "measure" else "right", overflow="fold")
    after = measured.after or {}
    for name, value in measured.before.items():
        gap = measured.changed(name)
        interval = (
            f"{format_change(gap.low, name)} to {format_change(gap.high, name)}" if gap and gap.low is not None else ""
        )
        cells = (format_number(value, name), format_number(after.get(name), name))
        table.add_row(name, *cells, format_change(gap.value if gap else None, name), interval)
    return table
