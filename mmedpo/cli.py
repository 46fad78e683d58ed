"""The command line. Imports typer and pathlib only: every command imports what it needs when it is called."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup


class _QuickHelp:
    """Give --help a default, or typer would import pydantic to find out that it is not asked for."""

    def get_help_option(self, ctx: Any) -> Any:
        option = super().get_help_option(ctx)  # type: ignore[misc]
        if option is not None:
            option.default = False
        return option


class Command(_QuickHelp, TyperCommand):
    """A command."""


class Group(_QuickHelp, TyperGroup):
    """A group of commands."""


class Commands(Group):
    """Turn what went wrong into a line and an exit code; a bug keeps its traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Carry out the command."""
        import signal
        import sys

        from mmedpo.errors import MmedpoError

        def stop(number: int, frame: Any) -> None:
            signal.signal(number, signal.SIG_DFL)
            raise KeyboardInterrupt(number)

        signal.signal(signal.SIGTERM, stop)
        _quiet_libraries()
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as interrupt:
            print("\nmmedpo: stopped; what is finished is kept. Run the same command to go on.", file=sys.stderr)
            sys.exit(128 + (interrupt.args[0] if interrupt.args else signal.SIGINT))
        except MmedpoError as error:
            _explain(error)
            sys.exit(error.exit_code)


def _quiet_libraries() -> None:
    """Keep the libraries' bars and notices off the screen, unless the user's environment asks for them."""
    import os
    import warnings

    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if "PYTHONWARNINGS" not in os.environ:
        warnings.filterwarnings("ignore", category=FutureWarning)


def _explain(error: Exception) -> None:
    """Print an error's lines; one that a plugin's own code raised keeps its traceback."""
    import sys
    import traceback

    from mmedpo.errors import PluginError

    if isinstance(error, PluginError) and error.__cause__ is not None:
        traceback.print_exception(error.__cause__)
    for line in str(error).splitlines():
        print(f"mmedpo: {line}", file=sys.stderr)


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Align a medical vision-language model with clinically weighted preference pairs.",
)
plugins_app = typer.Typer(cls=Group, no_args_is_help=True, rich_markup_mode=None, help="Look at the installed plugins.")
app.add_typer(plugins_app, name="plugins")
detector_app = typer.Typer(cls=Group, no_args_is_help=True, rich_markup_mode=None, help="Teach a recipe's localizer.")
app.add_typer(detector_app, name="detector")

RecipeFile = Annotated[Path, typer.Argument(metavar="RECIPE", help="The recipe, a YAML file.")]
Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Overrides, e.g. train.epochs=1 data.root=/mnt.")
]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for a script.")]


@app.command(cls=Command)
def run(
    recipe: RecipeFile,
    overrides: Overrides = None,
    until: Annotated[
        str, typer.Option(help="Stop after: read, localize, disprefer, score, weigh, train or evaluate.")
    ] = "evaluate",
    limit: Annotated[
        int | None, typer.Option(min=1, help="Try the recipe on so many cases, in a folder of its own.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say how many calls, tokens and how much money it can need at most.")
    ] = False,
    json: Json = False,
) -> None:
    """Carry out a recipe; run it again to go on where it stopped."""
    from mmedpo import pipeline
    from mmedpo.display import show_estimate, show_result, watching
    from mmedpo.recipe import load_recipe
    from mmedpo.variants import plan

    if until not in pipeline.STAGES:
        raise typer.BadParameter(f"there is no stage {until!r}; there are: {', '.join(pipeline.STAGES)}")
    if planned := plan(recipe, overrides or []):
        _run_variants(planned, until, limit, dry_run, json)
        return
    loaded = load_recipe(recipe, overrides or [])
    if dry_run:
        from mmedpo.estimate import estimate

        found = estimate(loaded, pipeline.run_folder(loaded, limit), limit)
        _print_json(found.to_json()) if json else show_estimate(found)
        return
    with watching() as see:
        result = pipeline.run(loaded, see, until=until, limit=limit)
    if json:
        _print_json({**vars(result), "folder": str(result.folder)})
    else:
        show_result(result)


def _run_variants(planned: Any, until: str, limit: int | None, dry_run: bool, json: bool) -> None:
    """Carry out a recipe's variants, or say what each can cost; end with one table."""
    from mmedpo.display import show_estimate, show_variants, starting, watching
    from mmedpo.estimate import estimate
    from mmedpo.pipeline import run_folder
    from mmedpo.report import REPORT, write_report
    from mmedpo.variants import run_variants, table

    if dry_run:
        found = {
            str(run_folder(one.loaded, limit)): estimate(one.loaded, run_folder(one.loaded, limit), limit)
            for one in planned
        }
        if json:
            _print_json({folder: one.to_json() for folder, one in found.items()})
        for folder, one in () if json else found.items():
            print(f"{folder}:")
            show_estimate(one)
        return
    with watching() as see:
        results = run_variants(planned, see, starting, until=until, limit=limit)
    compared = table(results)
    named = [",".join(str(result.folder) for result in found) for found in results.values()]
    page = str(write_report(named, planned[0].loaded.recipe.output.parent / REPORT))
    if json:
        runs = {name: [{**vars(one), "folder": str(one.folder)} for one in found] for name, found in results.items()}
        _print_json({"runs": runs, **compared, "report": page})
    else:
        show_variants(results, compared, page)


@app.command(cls=Command)
def check(recipe: RecipeFile, overrides: Overrides = None, json: Json = False) -> None:
    """Check a recipe without running it; every mistake is reported with its place."""
    from mmedpo.recipe import as_written, load_recipe
    from mmedpo.variants import plan

    planned = plan(recipe, overrides or [])
    loaded = planned[0].loaded if planned else load_recipe(recipe, overrides or [])
    if json and planned:
        _print_json({str(one.loaded.recipe.output): as_written(one.loaded) for one in planned})
    elif json:
        _print_json(as_written(loaded))
    else:
        parts = ", ".join(f"{part.name} ({part.package} {part.version})" for part in loaded.found.values())
        runs = f" in {len(planned)} runs" if planned else ""
        print(f"{recipe}: fine; it uses {parts}{runs}")


@app.command(cls=Command)
def train(run: RunFolder) -> None:
    """Train from a run's finished pairs; nothing is done when they have their adapter."""
    from mmedpo.display import watching
    from mmedpo.pipeline import train_again

    with watching() as see:
        print(train_again(run, see))


@app.command(cls=Command)
def ask(
    run: RunFolder,
    image: Annotated[Path, typer.Argument(help="An image file.")],
    question: Annotated[str, typer.Argument(help="A question about it.")],
    json: Json = False,
) -> None:
    """Show the answers to a question before and after alignment."""
    from mmedpo.ask import answers_of

    answers = answers_of(run, image, question)
    if json:
        _print_json(answers)
    else:
        for name, answer in answers.items():
            print(f"{name + ':':8}{answer}")


@app.command(cls=Command)
def merge(run: RunFolder, out: Annotated[Path, typer.Argument(help="A new folder.")]) -> None:
    """Write the aligned model, with its adapter merged, in the plain transformers form."""
    from mmedpo.export import merge_run

    merge_run(run, out)
    print(f"{out}: the merged model")


@app.command(cls=Command)
def export(
    run: RunFolder,
    to: Annotated[
        str, typer.Option(help="Pairs for trl, ms-swift, llama-factory, mmedpo-json, parquet; or the adapter for peft.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="A new folder.")],
    json: Json = False,
) -> None:
    """Write a run's pairs as other tools load them, with images and a data card; or its adapter, to give away."""
    from mmedpo.display import show_exported
    from mmedpo.travel import export_run

    exported = export_run(run, to, out)
    if json:
        _print_json({**vars(exported), "folder": str(exported.folder)})
    show_exported(exported, quiet=json)


@app.command("import", cls=Command)
def import_(
    folder: Annotated[Path, typer.Argument(help="A folder of pairs as TRL, ms-swift ... load them, or exported.")],
    recipe: Annotated[Path, typer.Argument(help="The recipe to write, a new YAML file.")],
    json: Json = False,
) -> None:
    """Look at a folder of pairs, and write a recipe that scores, weighs and trains on them."""
    from mmedpo.display import show_imported
    from mmedpo.travel import import_pairs

    found = import_pairs(folder, recipe)
    if json:
        _print_json({**vars(found), "recipe": str(found.recipe)})
    else:
        show_imported(found)


@app.command(cls=Command)
def convert(
    checkpoint: Annotated[str, typer.Argument(help="A folder or hub id, e.g. microsoft/llava-med-v1.5-mistral-7b.")],
    out: Annotated[Path, typer.Argument(help="A new folder.")],
    backbone: Annotated[str, typer.Option(help="The backbone part that reads the checkpoint.")] = "llava-med",
) -> None:
    """Write a checkpoint in the plain transformers form (llava-hf for LLaVA-Med)."""
    from mmedpo.export import convert_checkpoint

    convert_checkpoint(backbone, checkpoint, out)
    print(f"{out}: the converted model")


@app.command(cls=Command)
def score(
    run: RunFolder,
    against: Annotated[
        Path | None, typer.Option(metavar="CSV", help="Clinicians' ratings: columns pair and rating, 0 to 10.")
    ] = None,
    json: Json = False,
) -> None:
    """Show how far a run's voters agree, and how far with clinicians."""
    from mmedpo.display import show_scoring
    from mmedpo.folder import read_json
    from mmedpo.pipeline import load_run

    load_run(run)
    found = dict(read_json(run / "run.json").get("scoring", {}))
    if against is not None:
        from mmedpo.against import compare_with

        found["clinicians"] = compare_with(run, against)
    if json:
        _print_json(found)
    else:
        show_scoring(found)


@app.command(cls=Command)
def compare(
    runs: Annotated[
        list[str],
        typer.Argument(metavar="RUN RUN...", help="Run folders; those of several seeds by comma: a0,a1 b0,b1."),
    ],
    start: Annotated[bool, typer.Option("--start", help="Compare with the starting model of the first runs.")] = False,
    measure: Annotated[list[str] | None, typer.Option(help="Only this measure; may be repeated.")] = None,
    json: Json = False,
) -> None:
    """Compare what runs measure with the first of them, with intervals; the cases must be the same."""
    from mmedpo.compare import compare as rows_of
    from mmedpo.display import show_comparison

    rows = rows_of(runs, start=start, only=measure or [])
    if json:
        _print_json(rows)
    else:
        show_comparison(rows, runs)


@app.command(cls=Command)
def report(
    runs: Annotated[
        list[str],
        typer.Argument(metavar="RUN...", help="Run folders; those of several seeds by comma: a0,a1 b0,b1."),
    ],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="The file; by default in the run folder, or beside the first.")
    ] = None,
) -> None:
    """Write the report on a run, or one that compares several, as a single HTML file; print its path."""
    from mmedpo.report import write_report

    print(write_report(runs, out))


@detector_app.command("train", cls=Command)
def detector_train(recipe: RecipeFile, overrides: Overrides = None, json: Json = False) -> None:
    """Train the localizer of a recipe from its 'detector:' cases, and say how good it is."""
    from mmedpo.display import show_detector, watching
    from mmedpo.pipeline import train_detector
    from mmedpo.recipe import load_recipe

    loaded = load_recipe(recipe, overrides or [])
    with watching() as see:
        learnt, facts = train_detector(loaded, see)
    if json:
        _print_json({"checkpoint": str(learnt), **facts})
    else:
        show_detector(str(learnt), facts)


@app.command(cls=Command)
def schema() -> None:
    """Print a JSON Schema of recipes, with the options of every installed part, for editors."""
    from mmedpo.schema import recipe_schema

    _print_json(recipe_schema())


@plugins_app.command("list", cls=Command)
def plugins_list(json: Json = False) -> None:
    """List the installed parts: kind, name, package, version. Imports none of them."""
    from mmedpo.plugins import find

    rows = [{"kind": p.kind, "name": p.name, "package": p.package, "version": p.version} for p in find()]
    if json:
        _print_json(rows)
        return
    names = ("kind", "name", "package", "version")
    widths = {name: max(len(name), *(len(row[name]) for row in rows)) for name in names}
    for row in [dict(zip(names, names, strict=True)), *rows]:
        print("  ".join(row[name].ljust(widths[name]) for name in names).rstrip())


@plugins_app.command("show", cls=Command)
def plugins_show(name: Annotated[str, typer.Argument(help="A part, as in `use:`.")], json: Json = False) -> None:
    """Show a part: what it does, its options, how a recipe names it."""
    from mmedpo.inspection import describe, described_as_text

    descriptions = describe(name)
    if json:
        _print_json(descriptions)
    else:
        print("\n\n".join(described_as_text(item) for item in descriptions))


@plugins_app.command("check", cls=Command)
def plugins_check(
    name: Annotated[str | None, typer.Argument(help="One part; otherwise all.")] = None, json: Json = False
) -> None:
    """Import each part in a process of its own and say what it costs or why it fails."""
    from mmedpo.inspection import check_plugins

    rows = check_plugins(name)
    if json:
        _print_json(rows)
    else:
        for row in rows:
            print(row["line"])
    if any(row["error"] for row in rows):
        raise typer.Exit(3)


def _print_json(value: Any) -> None:
    import json

    print(json.dumps(value, indent=2, ensure_ascii=False))


def main() -> None:
    """Run the command line."""
    app()
