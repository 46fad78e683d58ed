"""The page about runs tells every key of a run's files, from the models that write and read them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import MISSING, fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest
from conftest import ROOT, generated
from pydantic import BaseModel

from mmedpo.core.records import Case, WeightedPair
from mmedpo.events import StageCount
from mmedpo.store.run_files.counts import COUNTS
from mmedpo.store.run_files.dropped import DroppedCase
from mmedpo.store.run_files.format import CASES, FORMAT, PAIRS, JsonFile, JsonRow
from mmedpo.store.run_files.measures import (
    AnsweredCase,
    AttendedCase,
    MeasureRecord,
    RoundTable,
    TrainingRecord,
    VariantTable,
)
from mmedpo.store.run_files.record import EndpointCall, ResultKeys, RunRecord

PAGE = ROOT / "docs" / "reference" / "runs.md"
MARK = "## The keys of the files\n"
FILES: dict[str, type] = {
    PAIRS: WeightedPair,
    CASES: Case,
    **{kind.file: kind for kind in (DroppedCase, RunRecord, TrainingRecord, MeasureRecord, AnsweredCase, AttendedCase)},
    **{kind.file: kind for kind in (EndpointCall, ResultKeys, VariantTable, RoundTable)},
}
PLAIN = {str: "text", int: "whole number", float: "number", bool: "true or false", Any: "anything", NoneType: "null"}


def test_every_key_of_a_runs_files_is_on_the_page() -> None:
    text = PAGE.read_text()
    generated(PAGE, text[: text.index(MARK)] + "\n".join([MARK, *section()]) + "\n")


@pytest.mark.parametrize("base", [JsonFile, JsonRow])
def test_no_file_is_forgotten(base: type) -> None:
    assert {kind.file for kind in base.__subclasses__()} <= FILES.keys()  # type: ignore[attr-defined]


def section() -> Iterator[str]:
    yield (
        f"Every JSON file has the key `format`, {FORMAT} in this version; of the JSON Lines files it stands in "
        "`run.json`. "
        "Keys may be added to a format, so pass over those\nthat you do not know; it rises when one goes, or means "
        "something else. What is *optional* is left out where it is as always.\n"
    )
    told: set[type] = set()
    for name, kind in FILES.items():
        yield f"### `{name}`"
        yield from tables(kind, told)
    yield "### Counts"
    yield "What stages count in `flow` and in `training.json`, and how the screen, the report and cards say it.\n"
    yield "| `what` | said as | left behind, or odd |"
    yield "|---|---|---|"
    yield from (f"| `{key}` | {one.words} | {'yes' if one.lost else ''} |" for key, one in COUNTS.items())


def tables(kind: type, told: set[type]) -> Iterator[str]:
    """Yield the table of a model, and of each model in it that was not told yet."""
    told.add(kind)
    yield f"{(inspect.getdoc(kind) or '').partition(chr(10))[0]}\n"
    yield "| key | value | what |"
    yield "|---|---|---|"
    hints, inner = get_type_hints(kind), []
    for name, optional, what in keys(kind):
        inner += [one for one in parts(hints[name]) if one not in told and one not in inner]
        yield f"| `{name}`{' *optional*' if optional else ''} | {value(hints[name])} | {what} |"
    yield ""
    for one in inner:
        if one not in told:
            yield f"#### {words(one)}"
            yield from tables(one, told)


def keys(kind: Any) -> Iterator[tuple[str, bool, str]]:
    """Yield the keys of a model or dataclass: name, whether it may be left out, what it is."""
    if is_dataclass(kind):
        comments = dict(re.findall(r"^    (\w+): [^#\n]*(?:# (.*))?$", inspect.getsource(kind), re.MULTILINE))
        hidden = ("held", "place")  # of a picture in memory
        for one in fields(kind):
            if one.name not in hidden:
                yield one.name, kind is StageCount and one.default is not MISSING, comments[one.name]
        return
    for name, field in kind.model_fields.items():
        yield name, not field.is_required(), field.description or ""


def parts(hint: Any) -> list[type]:
    """Return the models in a type."""
    if isinstance(hint, type) and (is_dataclass(hint) or issubclass(hint, BaseModel)):
        return [hint]
    return [part for one in get_args(hint) for part in parts(one)]


def value(hint: Any) -> str:
    """Say a type."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is Literal:
        return ", ".join(f"`{one}`" for one in args)
    if origin in (Union, UnionType):
        return " or ".join(value(one) for one in args)
    if origin is dict or getattr(origin, "__name__", "") == "Mapping":
        return f"object of {value(args[1])}"
    if origin in (tuple, list):
        return f"list of {value(args[0])}"
    return PLAIN.get(hint) or words(hint)


def words(kind: type) -> str:
    """Say a model's name."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", kind.__name__).lower()
