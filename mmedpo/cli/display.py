"""What a person sees: live progress on a terminal, plain lines elsewhere, tables at the end. The only home of rich."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from mmedpo.core.number_format import format_number, format_p_value
from mmedpo.endpoints.http.body import ODD
from mmedpo.events import Event, StageAdvanced, StageFinished, StageStarted, TrainingLogged
from mmedpo.recipe.train_options import NO_SAY
from mmedpo.runtime.heartbeat import ProgressLines, counted

if TYPE_CHECKING:
    from mmedpo.core.usage import Usage
    from mmedpo.pipeline.cost import CostEstimate
    from mmedpo.pipeline.stages import RunResult
    from mmedpo.recipe.planning import PlannedRun

EventObserver = Callable[[Event], None]


@contextmanager
def show_events() -> Iterator[EventObserver]:
    """Show a run's events: bars with rate and time left on a terminal, a line a stage elsewhere."""
    console = Console(stderr=True)
    if not console.is_terminal:
        with ProgressLines().beating() as plain:
            yield plain.see
        return
    columns = [
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    ]
    with Progress(*columns, console=console) as progress:
        yield ProgressBars(progress).see


class ProgressBars:
    """A bar a stage, with the rate of what this run did itself."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task: TaskID | None = None
        self._began, self._done = 0.0, 0

    def see(self, event: Event) -> None:
        """Draw an event."""
        if isinstance(event, StageStarted):
            if self._task is not None:  # one that waits for a batch is left for another run
                self._progress.stop_task(self._task)
            self._began, self._done = time.monotonic(), 0
            total = event.total or None
            self._task = self._progress.add_task(event.stage, total=total, completed=event.done, rate="")
        elif isinstance(event, StageAdvanced):
            self._advance(event.count)
        elif isinstance(event, TrainingLogged) and self._task is not None:
            loss = event.values.get("loss")
            said = f"loss {loss:.4f}" if loss is not None else ""
            self._progress.update(self._task, total=event.total, completed=event.step, rate=said)
        elif isinstance(event, StageFinished):
            self._finish(event)

    def _advance(self, count: int) -> None:
        assert self._task is not None
        self._done += count
        seconds = time.monotonic() - self._began
        rate = f"{self._done / seconds:.1f}/s" if seconds > 0 else ""
        self._progress.update(self._task, advance=count, rate=rate)

    def _finish(self, event: StageFinished) -> None:
        if self._task is not None:
            task = next(task for task in self._progress.tasks if task.id == self._task)
            total = task.total or max(event.counts.values(), default=1)
            self._progress.update(self._task, total=total, completed=total)
        self._progress.console.print(f"[bold]{event.stage}[/] {escape(counted(event.counts))}", highlight=False)


def show_result(result: RunResult) -> None:
    """Print the table before/after and where everything is."""
    console, folder, measures = Console(), result.folder, result.measures
    if not result.did:
        done = f"Nothing to do: {folder} is finished and nothing it depends on has changed."
        console.print(done, highlight=False, soft_wrap=True)
    for line in _said(result):
        console.print(line, highlight=False)
    for measured in measures.get("measures", []):
        if nothing := measured.get("nothing"):
            console.print(f"{measured['use']}: {nothing}", markup=False, highlight=False, soft_wrap=True)
        else:
            console.print(_before_after(measured))
    for use, caution in cautions(measures):
        console.print(f"[bold red]caution[/], {use}: {escape(caution)}", highlight=False, soft_wrap=True)
    if "overlap" in measures:
        _print_overlap(console, measures["overlap"])
    for name, what in FILES:
        if (folder / name).exists():
            console.print(f"  {folder / name}  {what}", highlight=False, soft_wrap=True)


def _said(result: RunResult) -> Iterator[str]:
    """Yield a line on the weights, on the training and on the pairs held out of it."""
    for use, summary in result.scoring.items():
        yield from agreed(use, summary)
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


def agreed(use: str, summary: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line on who voted, and one on how far they agreed."""
    if "votes" in summary:
        missing = {name: sum(why.values()) for name, why in summary["missing"].items()}
        voted = [f"{name} {count:,}" for name, count in summary["votes"].items()]
        none = counted(missing) if missing else "none"
        yield f"{use}: pairs voted on: {', '.join(voted)}; turns without a vote: {none}"
    if "alpha" in summary:
        alpha = ", ".join(f"{name} votes {format_number(value) or 'none'}" for name, value in summary["alpha"].items())
        apart = f"{summary['apart by 4 or more']:,} of {summary['pairs']:,} pairs"
        yield f"{use}: Krippendorff's alpha: {alpha}; first votes 4 or more apart on {apart}"


FILES = (
    ("pairs.jsonl", "every pair with its scores, evidence and weight"),
    ("adapter", "the trained adapter (PEFT)"),
    ("data_card.md", "what the pairs are and how they were made"),
    ("measures.json", "the measures"),
    ("answers.jsonl", "every answer, before and after"),
    ("run.json", "the recipe, versions and counts"),
    ("report.html", "all of it to look at: open it in a browser"),
)


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


def show_estimate(found: CostEstimate) -> None:
    """Print what a recipe can need at most."""
    console = Console()
    table = [["part", "model", "at", "asked about", "calls", "tokens in", "tokens out", "money"]]
    for line in found.lines:
        model = f"{line.model}, in batches" if line.batch else line.model
        table.append([line.part, model, line.host, f"{line.items:,}", *_amounts(line.need)])
    if len(found.lines) > 1:
        table.append(["together", "", "", "", *_amounts(found.total)])
    most = "every repair used, every answer at its limit, nothing answered by an earlier run"
    console.print(f"{counted(found.counts)}; at most: {most}:", highlight=False)
    aligned(console, table)
    if not found.lines:
        console.print("no part of it calls an endpoint")
    elif found.local:
        console.print(f"in this process, nothing to pay: {', '.join(found.local)}", highlight=False)
    if found.spent.calls:
        from mmedpo.endpoints.ledger import format_usage

        console.print(f"spent by this run so far: {format_usage(found.spent)}", highlight=False)
    for host in found.refused:
        say = f"the data are restricted: nothing will be sent to {host} unless allow_remote names it"
        console.print(f"[bold red]{say}[/]", highlight=False)


def _amounts(need: Usage) -> list[str]:
    money = f"{need.money:,.2f}" if need.money else ""
    return [f"{need.calls:,}", f"{need.tokens[0]:,}", f"{need.tokens[1]:,}", money]


def aligned(console: Console, table: Sequence[Sequence[str]]) -> None:
    """Print rows in columns, never cut, however narrow the screen."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for cells in table if len(table) > 1 else ():
        line = "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        console.print(line.rstrip(), highlight=False, soft_wrap=True)


def show_scoring(found: Mapping[str, Any]) -> None:
    """Print how voters agree with each other and with clinicians."""
    console = Console()
    for use, summary in found.items():
        for line in agreed(use, summary) if use != "clinicians" else with_clinicians(summary):
            console.print(line, highlight=False)
        for voters, value in summary.get("rank correlation", {}).items():
            console.print(f"  rank correlation of {voters}: {format_number(value) or 'not defined'}", highlight=False)
        for one in summary.get("furthest apart", ()):
            votes = ", ".join(f"{name} {vote}" for name, vote in one["votes"].items())
            console.print(f"  apart: {one['pair']}: {votes}", highlight=False, soft_wrap=True)
    if not found:
        console.print("no scorer of this run has a summary: its pairs came with scores, or one voter rated them")


def with_clinicians(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield lines on how the consensus goes with clinicians' ratings."""
    yield f"with clinicians, on {found['pairs']:,} pairs of {found['groups']:,} images or patients:"
    if unrated := found.get("rows not rated"):
        yield f"  rows not rated: {unrated:,}"
    if without := found.get("ratings without a hash"):
        yield f"  ratings without a hash: {without:,}; whether their pairs are still those that were rated is not known"
    for name in ("spearman", "weighted kappa"):
        one = found[name]
        interval = f" ({format_number(one['low'])} to {format_number(one['high'])})" if one["low"] is not None else ""
        yield f"  {name}: {format_number(one['value']) or 'not defined'}{interval}"


def show_detector(learnt: str, facts: Mapping[str, Any]) -> None:
    """Print how good a localizer is that has learned; whatever it measured, by set of cases."""
    console = Console(highlight=False)
    console.print(f"{escape(learnt)}", soft_wrap=True)
    for name in ("validation", "test"):
        measures = facts.get(name, {})
        if plain := [f"{what} {value}" for what, value in measures.items() if isinstance(value, int | float)]:
            console.print(f"{name}: {', '.join(plain)}", soft_wrap=True)
        for what, table in measures.items():
            if isinstance(table, Mapping):
                console.print(
                    f"  {what}: " + ", ".join(f"{key} {value}" for key, value in table.items()), soft_wrap=True
                )


def show_exported(exported: Any, quiet: bool = False) -> None:
    """Print what left a run; on the error output, what the form's tool does not take up, and how restricted it is."""
    counts = ", ".join(f"{count:,} {kind}" for kind, count in exported.pairs.items())
    what, of = (f"{counts} pairs", "these pairs") if counts else ("the adapter", "the pairs it was trained from")
    if not quiet:
        Console().print(f"{exported.folder}: {what} for {exported.form}", highlight=False, soft_wrap=True)
    loud = Console(stderr=True, highlight=False, soft_wrap=True)
    for note in exported.notes:
        loud.print(f"mmedpo: note: {note}", markup=False)
    if exported.restricted:
        held = f"{exported.restricted:,} of {of} are restricted"
        loud.print(f"mmedpo: {held}: {exported.folder} is as restricted as the data they come from", markup=False)


def show_imported(found: Any) -> None:
    """Print what a folder of pairs holds, and which recipe takes it on."""
    console, total = Console(highlight=False, soft_wrap=True), sum(found.pairs.values())
    console.print(f"{total:,} pairs: " + ", ".join(f"{count:,} {kind}" for kind, count in found.pairs.items()))
    for reason, count in found.dropped.items():
        console.print(f"  {count:,} left out: {reason}", markup=False)
    for text, count in found.remarks.items():
        console.print(f"  {count:,} of these: {text}", markup=False)
    for kind, count in found.unrated.items():
        console.print(f"  {count:,} {kind} pairs have no relevance")
    console.print(f"  {found.weights:,} came with a weight")
    console.print(f"  {'restricted' if found.restricted else 'not restricted'}")
    console.print(f"{found.recipe}: a recipe for them; name your model in it", markup=False)


def show_comparison(rows: Sequence[Mapping[str, Any]], runs: Sequence[str]) -> None:
    """Print the comparison of runs, and whether they were measured on what they were trained on."""
    from mmedpo.evaluate.comparison import count_trained_images, split_by_difference

    console = Console()
    letters = {name: _letter(at) for at, name in enumerate(dict.fromkeys(row["method"] for row in rows))}
    differ, equal = split_by_difference(rows)
    table = [["metric", "measure", "run", "value", "difference", "95 % interval", "p", "p (Holm)"]]
    for row in differ:
        table.append([row["metric"], row["measure"], letters[row["method"]], format_number(row["value"]), *_gap(row)])
    aligned(console, table)
    if len(letters) > 1 and not differ:
        console.print("the runs differ in no measure")
    if same := [row for row in equal if letters[row["method"]] == "A"]:
        told = ", ".join(f"{row['metric']} {row['measure']} {format_number(row['value'])}" for row in same)
        console.print(f"equal in all runs: {told}", highlight=False, soft_wrap=True)
    for name, letter in letters.items():
        console.print(f"{letter}: {name}", highlight=False)
    folders = dict.fromkeys(part for text in runs for part in text.split(","))
    _print_overlaps(console, {folder: count_trained_images(Path(folder)) for folder in folders})


def _letter(place: int) -> str:
    """Name a run by a letter, after Z by two."""
    return (_letter(place // 26 - 1) if place >= 26 else "") + chr(ord("A") + place % 26)


def starting(one: PlannedRun) -> None:
    """Say which of a recipe's variants begins."""
    Console(stderr=True, highlight=False).print(f"[bold]{one.variant}[/], seed {one.seed}", soft_wrap=True)


def show_variants(results: Mapping[str, Sequence[RunResult]], compared: Mapping[str, Any], page: str) -> None:
    """Print the measures of all variants, which differ from the first by more than chance, and where the page is."""
    console = Console(highlight=False)
    rows = compared.get("against the start", [])
    shown = list(dict.fromkeys((row["metric"], row["measure"]) for row in rows if "difference" in row))
    sure = {
        (row["method"], row["metric"], row["measure"])
        for row in compared.get("against the first", [])
        if row.get("p_holm", 1) < 0.05
    }
    values = {(row["method"], row["metric"], row["measure"]): row["value"] for row in rows}
    methods = list(dict.fromkeys(row["method"] for row in rows))
    several = len({metric for metric, _ in shown}) > 1
    table = [["variant", *(f"{metric} {measure}" if several else measure for metric, measure in shown)]]
    for method in methods:
        cells = [format_number(values.get((method, *key))) + ("*" if (method, *key) in sure else "") for key in shown]
        table.append([method, *cells])
    if rows:
        aligned(console, table)
        first = methods[1]
        console.print(f"*: differs from {first}, p below .05 after Holm's correction over all measures and variants")
    every = {f"{name}: {one.folder}": one.measures for name, found in results.items() for one in found}
    _print_overlaps(console, {name: measures["overlap"] for name, measures in every.items() if measures})
    for name in (name for name, measures in every.items() if not measures):
        console.print(name, soft_wrap=True)
    for name, measures in every.items():
        for use, caution in cautions(measures):
            console.print(f"[bold red]caution[/], {escape(name)}, {use}: {escape(caution)}", soft_wrap=True)
    console.print(f"{page}  all of them to look at: open it in a browser", soft_wrap=True)


def _gap(row: Mapping[str, Any]) -> list[str]:
    if "difference" not in row:
        return [""] * 4
    p = [format_p_value(row[name]) if name in row else "" for name in ("p", "p_holm")]
    return [f"{row['difference']:+.3f}", f"{row['low']:+.3f} to {row['high']:+.3f}" if "low" in row else "", *p]


def _print_overlaps(console: Console, overlaps: Mapping[str, Mapping[str, int]]) -> None:
    """Say on what runs were evaluated; in one line where it is the same for all."""
    if len(overlaps) > 1 and len({tuple(sorted(overlap.items())) for overlap in overlaps.values()}) == 1:
        overlaps = {f"all {len(overlaps)} runs": next(iter(overlaps.values()))}
    for name, overlap in overlaps.items():
        console.print(f"{name}: ", end="", highlight=False, soft_wrap=True)
        _print_overlap(console, overlap)


def _print_overlap(console: Console, overlap: Mapping[str, int]) -> None:
    shared, images = overlap["trained_on"], overlap["images"]
    note = "none of them was trained on" if not shared else f"[bold red]{shared} of them were trained on[/]"
    if again := overlap.get("questions_trained_on"):
        note += f", and [bold red]{again} of the questions about them[/]"
    console.print(f"evaluated on {images} images; {note}", highlight=False, soft_wrap=True)
