"""A reader yields cases or pairs whose fields are what they say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from odd_numbers import NAN

from mmedpo import Case, PluginError, Reader, Region
from mmedpo.errors import DataError
from mmedpo.testing import check_part, tiny_cases, tiny_pairs


class Reads(Reader):
    """Yield what it is told."""

    use = "reads"
    what: str = "fine"
    """What is tried."""

    def read(self) -> Iterator[Any]:
        cases = tiny_cases(3)
        yield from {
            "fine": cases,
            "twice": [*cases, cases[0]],
            "nothing": [],
            "mixed": [*cases, tiny_pairs("text", 1)[0]],
            "empty answer": [replace(cases[0], answer="")],
        }[self.what]


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("twice", "'tiny-0' stands twice"),
        ("nothing", "there is nothing to read"),
        ("mixed", "read yielded a Pair, and the class says yields"),
        ("empty answer", "case 'tiny-0' has an empty answer"),
    ],
)
def test_a_reader_that_breaks_the_contract_is_blamed(what: str, said: str) -> None:
    check_part(Reads())
    with pytest.raises((PluginError, DataError), match="reader 'reads'") as caught:
        check_part(Reads(what=what))
    assert said in str(caught.value)


CHANGES: list[dict[str, Any]] = [
    {"id": 7},
    {"question": None},
    {"answer": NAN},
    {"kind": "Closed"},
    {"group": 3},
    {"about": "nodule"},
    {"about": (1,)},
    {"restricted": None},
    {"regions": [None]},
    {"regions": (Region("nodule", (0, 0, NAN, 1)),)},
    {"regions": (Region("nodule", (0, 0, 1)),)},  # type: ignore[arg-type]
    {"image": "film.png"},
    {"notes": {"age": NAN}},
    {"notes": None},
]


class OddReader(Reader):
    """Yield a case with one odd field."""

    use = "odd"
    change: int
    """What is tried."""

    def read(self) -> Iterator[Case]:
        yield replace(tiny_cases(1)[0], **CHANGES[self.change])


@pytest.mark.parametrize("change", range(len(CHANGES)))
def test_a_case_of_a_reader_is_what_its_fields_say(change: int) -> None:
    with pytest.raises(PluginError, match="reader 'odd'"):
        check_part(OddReader(change=change))


def test_a_reader_says_whether_it_yields_cases_or_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OddReader, "yields", "rows")
    with pytest.raises(PluginError, match="says 'rows' for `yields`: Input should be 'cases' or 'pairs'"):
        check_part(OddReader(change=0))
