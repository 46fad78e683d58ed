"""What left a run for another tool, and what came from one."""

from __future__ import annotations

from typing import Any

from mmedpo.cli.command import print_json
from mmedpo.cli.display.terminal import Terminal
from mmedpo.core.notes import print_note
from mmedpo.exchange.sqlite.run_database import RunDatabase


def show_exported(exported: Any, quiet: bool = False) -> None:
    """Print what left a run; on the error output, what the form's tool does not take up, and how restricted it is."""
    counts = ", ".join(f"{count:,} {kind}" for kind, count in exported.pairs.items())
    what, of = (f"{counts} pairs", "these pairs") if counts else ("the adapter", "the pairs it was trained from")
    if not quiet:
        Terminal().print(f"{exported.folder}: {what} for {exported.form}", highlight=False, soft_wrap=True)
    loud = Terminal(stderr=True, highlight=False, soft_wrap=True)
    for note in exported.notes:
        loud.print(f"mmedpo: note: {note}", markup=False)
    if exported.restricted:
        held = f"{exported.restricted:,} of {of} are restricted"
        loud.print(f"mmedpo: {held}: {exported.folder} is as restricted as the data they come from", markup=False)


def show_database(written: RunDatabase, *, json: bool) -> None:
    """Print what a database holds, and what browses it."""
    if json:
        print_json({**vars(written), "file": str(written.file)})
    else:
        rows = ", ".join(f"{count:,} {name}" for name, count in written.rows.items())
        print(f"{written.file}: {rows}")
        print(f"  datasette {written.file}    browses it (pip install datasette)")
    if written.left_out:
        print_note(f"note: {written.left_out:,} images of restricted data are left out; --with-images takes them along")
    if written.restricted:
        print_note(f"{written.file} is as restricted as the data it comes from")


def show_imported(found: Any) -> None:
    """Print what a folder of pairs holds, and which recipe takes it on."""
    console, total = Terminal(highlight=False, soft_wrap=True), sum(found.pairs.values())
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
