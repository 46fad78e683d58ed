"""What a first recipe was written from."""

from __future__ import annotations

from collections.abc import Iterator

from mmedpo.core.notes import print_note, printable
from mmedpo.recipe.starter.starter import StarterRecipe, count_survey


def show_starter(made: StarterRecipe) -> None:
    """Print which column was taken for what, what there is, and what to do next."""
    for line in _describe(made):
        print(printable(line))
    for note in made.notes:
        print_note(f"note: {note}")
    print(f"{made.recipe}: a recipe that runs here, offline")
    if made.guess:
        print("  its model is a stand-in that knows drawn films alone: what it measures says nothing of yours")
    print(f"  mmedpo run {made.recipe} --limit 8    tries it")
    print(f"  mmedpo run {made.recipe}              goes to the report")


def _describe(made: StarterRecipe) -> Iterator[str]:
    if made.guess is None:
        yield "drawn films, since no --data is named"
        return
    guess = made.guess.guess
    yield f"{guess.table} (reader {made.guess.reader.use})"
    names = max((len(repr(column.column)) for column in guess.columns), default=0)
    for column in guess.columns:
        rows = f"{column.rows:,} of {column.looked_at:,} rows"
        examples = ", ".join(map(repr, column.examples))
        yield f"  {column.role:9} from {column.column!r:{names}}  {rows}; {examples}"
    if guess.unread:
        yield f"  not read: {', '.join(map(repr, guess.unread))}"
    if made.guess.guess.options.get("images"):
        yield f"  images in {made.guess.guess.options['images']}"
    yield count_survey(made.survey)
    for reason, count in made.survey.left_out.items():
        yield f"  {count:,} left out: {reason}"
    if made.split:
        of = "patients" if made.survey.told_groups else "images"
        groups = f"{made.split.groups:,} of {len(made.survey.groups):,} {of}"
        yield f"{made.split.cases:,} cases of {groups} are held out to be measured on"
