"""The command that holds an installed part to its contract by using it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmedpo.cli.command import Json, print_json, resolve_place

if TYPE_CHECKING:
    from mmedpo.testing.trials import PartTrial

WIDTH = 18  # of a check's name


def plugins_test(
    name: Annotated[str, typer.Argument(help="A part, as in `use:`.")],
    option: Annotated[
        list[str] | None, typer.Option("--option", metavar="KEY=VALUE", help="An option of the part; may be repeated.")
    ] = None,
    recipe: Annotated[
        Path | None,
        typer.Option(help="A recipe that names the part: its options are taken from there.", callback=resolve_place),
    ] = None,
    json: Json = False,
) -> None:
    """Hold a part to its contract by using it, on tiny data and on odd ones, in a process of its own.

    Each check is printed as it is done. Exit code 3 where the part breaks its contract.
    """
    from mmedpo.testing.trials import plan_trials

    trials = plan_trials(name, option or [], recipe)
    told = [_follow(trial, quiet=json) for trial in trials]
    if json:
        print_json(told)
    if any(check["outcome"] == "broken" for one in told for check in one["checks"]):
        raise typer.Exit(3)


def _follow(trial: PartTrial, *, quiet: bool) -> dict[str, Any]:
    """Carry out a trial and print each check, unless that is for a script."""
    say = (lambda line: None) if quiet else (lambda line: print(line, flush=True))
    say(f"{trial.plugin}")
    checks = []
    for check in trial.carry_out():
        checks.append(check.to_json())
        say(f"  {check.outcome:8}{check.name:{WIDTH}}{check.says}")
        if check.told:
            say(f"{'':10}{check.told}")
    counts = Counter(check["outcome"] for check in checks)
    say(", ".join(f"{counts[outcome]} {outcome}" for outcome in ("kept", "broken", "skipped")))
    return {**trial.plugin.to_json(), "checks": checks}
