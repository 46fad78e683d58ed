"""What a reader takes data on this disk for, so that `mmedpo init` can write a recipe for who has none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class ColumnGuess:
    """What a column of a table was taken for."""

    role: str  # as the reader's `columns` names it: image, question, answer ...
    column: str  # as the table names it
    rows: int  # that hold something there
    looked_at: int  # rows
    examples: tuple[str, ...] = ()  # for the screen alone: they may name patients


@dataclass(frozen=True)
class DataGuess:
    """How a reader would read what lies at some places."""

    options: Mapping[str, Any]  # of the reader, those that are not as by default
    test: Mapping[str, Any] | None = None  # what differs of the cases to measure on; None: the reader has no own split
    certain: bool = False  # whether it is this layout without doubt: a released set by its files' names
    table: str = ""  # the file whose columns these are, and how its cells stand
    columns: tuple[ColumnGuess, ...] = ()
    unread: tuple[str, ...] = ()  # columns that are taken for nothing
    lacks: tuple[str, ...] = field(default=())  # what is missing to read it, a line each; then it is no guess yet
