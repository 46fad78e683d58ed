"""Runs beside the numbers that a publication prints: cell by cell, with what is unknown of them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from mmedpo.errors import RecipeError
from mmedpo.evaluate.bootstrap import value_intervals
from mmedpo.evaluate.methods.draws import resample_methods
from mmedpo.evaluate.methods.names import NamedRuns, name_variant
from mmedpo.evaluate.methods.runs import MethodRuns, open_runs, read_metrics
from mmedpo.recipe.document.yaml import parse_yaml
from mmedpo.store.run_files.reader import read_run

FOLDER = Path(__file__).parent / "published"
AVERAGE = "average"  # the column of ablations
OURS: dict[str, tuple[str, tuple[str, ...]]] = {  # by column: the metric, and which of its measures may be meant
    "open": ("med-vqa", ("open_recall_llava_med", "open_recall")),
    "closed": ("med-vqa", ("closed_accuracy_llava_med", "closed_accuracy")),
    "bleu": ("report-text", ("bleu_legacy", "bleu")),
    "rouge-l": ("report-text", ("rouge_l_legacy", "rouge_l")),
    "meteor": ("report-text", ("meteor_nltk", "meteor_nltk_stems")),
}


class PublishedSet(BaseModel):
    """What is printed of one data set, in percent."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    cases: int  # that were tested on
    columns: tuple[str, ...]
    rows: dict[str, tuple[float, ...]]  # by variant, a number a column
    ablations: dict[str, tuple[float, ...]]  # by variant: averages over the columns, more than one where they differ
    remarks: tuple[str, ...] = ()

    def cells(self, variant: str) -> list[tuple[str, tuple[float, ...]]]:
        """Return the columns of a row with what is printed there; none where there is no such row."""
        alone = [(column, (number,)) for column, number in zip(self.columns, self.rows.get(variant, ()), strict=False)]
        return alone + ([(AVERAGE, self.ablations[variant])] if variant in self.ablations else [])

    def contradictions(self, variants: Collection[str]) -> Iterator[str]:
        """Yield which of these variants are printed in two ways."""
        for variant, numbers in self.ablations.items():
            if variant in variants and len(set(numbers)) > 1:
                told = " and ".join(f"{number:.2f}" for number in numbers)
                yield f"{self.name}, {variant}: printed as {told}"


class PublishedNumbers(BaseModel):
    """What a publication prints of several data sets."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    unknown: tuple[str, ...]
    sets: dict[str, PublishedSet]  # by the reader of the data


@dataclass(frozen=True)
class PublishedComparison:
    """Our numbers beside theirs, and what must be said with them."""

    source: str
    rows: list[dict[str, Any]]
    notes: list[str]

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {"source": self.source, "rows": self.rows, "notes": self.notes}


def load_published(name: str) -> PublishedNumbers:
    """Load the numbers of a publication. Raises RecipeError for one that is not known."""
    path = FOLDER / f"{name}.yaml"
    if (there := sorted(one.stem for one in FOLDER.glob("*.yaml"))) and name not in there:
        raise RecipeError(f"--published {name}: there are: {', '.join(there)}")
    return PublishedNumbers.model_validate(parse_yaml(path.read_text(), str(path)).values)


def compare_with_published(
    named: Sequence[NamedRuns], published: str, *, start: bool = False, data_set: str | None = None
) -> PublishedComparison:
    """Put methods beside the rows that a publication prints under their names, else under that of their variant.

    With `start`, the starting model of the first one is the row
    `base`. The data set is known by the reader that a run is evaluated on, unless `data_set` names it. Raises
    RecipeError where it is not known, DataError where a run has no answers.
    """
    numbers = load_published(published)
    methods = [(_find_row(numbers, name, runs[0]), open_runs(name, runs)) for name, runs in named]
    if start:
        methods.insert(0, ("base", _begin(methods[0][1])))
    rows: list[dict[str, Any]] = []
    notes: list[str] = []
    seen: dict[str, PublishedSet] = {}
    for variant, method in methods:
        key = _find_set(numbers, method.runs[0], data_set)
        found = seen[key] = numbers.sets[key]
        rows += _make_rows(variant, method, found)
        notes += _list_gaps(variant, method, found)
    for found in seen.values():
        notes += [*found.remarks, *found.contradictions([variant for variant, _ in methods])]
    return PublishedComparison(numbers.source, rows, list(dict.fromkeys([*notes, *numbers.unknown])))


def _begin(method: MethodRuns) -> MethodRuns:
    """Return the model alone that a method began with."""
    if begun := [run for run in method.runs if read_run(run).run.recipe["backbone"].get("adapter")]:
        raise RecipeError(
            f"{begun[0]}: begins with an adapter, so its start is not the model alone; name another first"
        )
    return MethodRuns("start", method.runs, method.measured, 0)


def _find_row(numbers: PublishedNumbers, name: str, run: Path) -> str:
    """Return the row that is meant by a method."""
    return name if any(one.cells(name) for one in numbers.sets.values()) else name_variant(run)


def _find_set(numbers: PublishedNumbers, folder: Path, told: str | None) -> str:
    """Return the data set that a run is measured on."""
    if told is None:
        data = (read_run(folder).run.recipe.get("evaluate") or {}).get("data") or {}
        told = str(data.get("use")) if isinstance(data, dict) else "several readers"
    if told not in numbers.sets:
        near = get_close_matches(told, numbers.sets, n=1)
        hint = f"did you mean {near[0]!r}?" if near else "say with --data-set which of these they are, if one:"
        raise RecipeError(
            f"{folder}: is measured on {told!r}, of which nothing is printed; {hint} {', '.join(numbers.sets)}"
        )
    return told


def _make_rows(variant: str, method: MethodRuns, found: PublishedSet) -> Iterator[dict[str, Any]]:
    """Yield a row for each cell that is printed and each of our measures that may stand beside it."""
    cells = found.cells(variant)
    ours = _measure_columns(method, found.columns) if cells else {}
    for column, printed in cells:
        row = {"method": variant, "runs": len(method.runs), "data": found.name, "column": column}
        row["published"] = list(printed)
        yield from ({**row, **one} for one in ours.get(column, [{}]))


def _measure_columns(method: MethodRuns, columns: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """Return by column our measures of a method, in percent with intervals."""
    measured: dict[str, list[dict[str, Any]]] = {}
    for metric in read_metrics(method.runs[0]):
        wanted = {column: OURS[column][1] for column in columns if OURS[column][0] == metric.use}
        if not wanted:
            continue
        (draws,) = resample_methods(metric, [method])
        names = {column: [name for name in may if name in draws] for column, may in wanted.items()}
        if set(wanted) == set(columns) and all(names.values()):
            first = [draws[may[0]] for may in names.values()]
            draws = {**draws, AVERAGE: sum(first) / len(first)}
            names[AVERAGE] = [AVERAGE]
        intervals = value_intervals(draws)
        for column, there in names.items():
            measured[column] = [
                {"metric": metric.use, "measure": name, **{key: 100 * value for key, value in intervals[name].items()}}
                for name in there
            ]
    return {column: made for column, made in measured.items() if made}


def _list_gaps(variant: str, method: MethodRuns, found: PublishedSet) -> Iterator[str]:
    """Yield what makes a row of ours another than theirs, and where there is none."""
    if not found.cells(variant):
        rows = ", ".join(dict.fromkeys([*found.rows, *found.ablations]))
        yield f"{variant}: nothing is printed under this name; of {found.name} there are: {rows}"
    if (count := len(method.measured[0].groups)) != found.cases:
        yield f"{found.name}: measured on {count:,} cases, where the publication tested on {found.cases:,}"
