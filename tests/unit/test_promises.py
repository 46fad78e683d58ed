"""What the last version promised is kept, or the changelog tells what became of it."""

from __future__ import annotations

import os

import pytest
from conftest import ROOT
from promises import find_untold, list_promises

LIST = ROOT / "tests" / "unit" / "promises.txt"
CHANGELOG = ROOT / "CHANGELOG.md"
KNOWN = {"mmedpo.Case": "class()", "mmedpo.Case.id": "str", "key.seed": "int = 0", "key.train.lora.r": "int = 128"}


def test_what_was_promised_is_kept_or_told_in_the_changelog() -> None:
    """`MMEDPO_RELEASE=1 pytest tests/unit/test_promises.py` writes the list anew, when a version is released."""
    now = list_promises()
    if os.environ.get("MMEDPO_RELEASE"):
        LIST.write_text("".join(f"{name}: {told}\n" for name, told in now.items()))
    known = dict(line.split(": ", 1) for line in LIST.read_text().splitlines())
    untold = find_untold(known, now, CHANGELOG.read_text())
    assert untold == [], "an entry of CHANGELOG.md, under what is unreleased, has to name each in code"


@pytest.mark.parametrize(
    ("changed", "entry", "untold"),
    [
        ({"key.seed": "int = 1"}, "", ["key.seed: int = 0 -> int = 1"]),
        ({"key.seed": "int = 1"}, "- `seed` is 1 by default.", []),
        ({"mmedpo.Case.id": "int"}, "- An `id` is a number.", ["mmedpo.Case.id: str -> int"]),
        ({"mmedpo.Case.id": "int"}, "- `Case.id` is a number.", []),
        ({"mmedpo.Film": "class()", "mmedpo.Film.at": "(path: Path) -> Film"}, "- `Film` is new.", []),
        ({"mmedpo.Film": "class()"}, "- Film is new.", ["mmedpo.Film: nothing -> class()"]),
    ],
)
def test_a_change_that_no_entry_names_is_found(changed: dict[str, str], entry: str, untold: list[str]) -> None:
    changelog = f"# Changelog\n## [0.2.0] - unreleased\n### Changed\n{entry}\n## [0.1.0]\n- `seed`, `Case.id`, `Film`\n"
    assert find_untold(KNOWN, {**KNOWN, **changed}, changelog) == untold


def test_an_option_of_a_whole_kind_is_told_of_once() -> None:
    known = {"mmedpo.Loss": "class()", "loss.kl": "part"}
    now = {**known, "mmedpo.Loss.cases": "int = 0", "loss.kl.cases": "int = 0", "loss.kl.other": "int = 0"}
    told = "## Unreleased\n- `Loss.cases` is new.\n"
    assert find_untold(known, now, told) == ["loss.kl.other: nothing -> int = 0"]


def test_what_is_gone_is_found() -> None:
    assert find_untold(KNOWN, {}, "## Unreleased\n- `Case` and `seed` are gone.\n") == [
        "key.train.lora.r: int = 128 -> nothing"
    ]
