"""`mmedpo plugins test` says check by check what it did, and ends with 3 where a part breaks its contract."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import Mmedpo

from mmedpo.testing import fake_package

PARTS = '''
import os
from mmedpo import Score, Scorer, hookimpl

class Whole(Scorer):
    """Rate every pair alike."""
    use = "whole"
    rates = frozenset({"text"})
    relevance: float
    """What each pair is given."""
    def score(self, pairs):
        return [Score(self.relevance) for _ in pairs]

class Deadly(Scorer):
    """End the process."""
    use = "deadly"
    rates = frozenset({"text"})
    def score(self, pairs):
        os._exit(9)

@hookimpl
def mmedpo_scorers():
    return [Whole, Deadly]
'''


@pytest.fixture
def site(tmp_path: Path) -> Path:
    folder = tmp_path / "site"
    folder.mkdir()
    names = ("whole", "deadly")
    return fake_package(folder, "acme", {"acme_parts": PARTS}, {"mmedpo.scorers": dict.fromkeys(names, "acme_parts")})


def test_each_check_is_said_and_what_ends_the_process_is_named_with_its_check(mmedpo: Mmedpo, site: Path) -> None:
    done = mmedpo("plugins", "test", "deadly", packages=site)
    assert done.returncode == 3
    lines = done.stdout.splitlines()
    assert lines[0] == "scorer 'deadly' of acme 1.0"
    assert lines[-3].split(maxsplit=1) == [
        "broken",
        "a batch           `score` gives what its contract says, for each pair of several",
    ]
    assert "scorer 'deadly' of acme 1.0 ended the process (exit code 9) without a word" in lines[-2]
    assert lines[-1].endswith(" kept, 1 broken, 0 skipped")


def test_options_come_from_a_recipe_and_a_breach_ends_with_3(mmedpo: Mmedpo, site: Path, tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text("score: [{use: whole, relevance: 7}]\n")
    broken = mmedpo("plugins", "test", "whole", "--recipe", "r.yaml", "--json", packages=site)
    assert broken.returncode == 3
    first = next(check for check in json.loads(broken.stdout)[0]["checks"] if check["outcome"] == "broken")
    assert first["name"] == "a batch"
    assert first["told"].startswith(
        "scorer 'whole' of acme 1.0: relevance of pair 'tiny-0/tiny/0' is 7.0, outside [0, 1]"
    )


def test_options_that_are_lacking_or_wrong_are_said(mmedpo: Mmedpo, site: Path) -> None:
    lacking = mmedpo("plugins", "test", "whole", packages=site)
    assert lacking.returncode == 0
    assert "it needs relevance: --option relevance=..., or --recipe" in lacking.stdout
    wrong = mmedpo("plugins", "test", "whole", "--option", "relevance=much", packages=site)
    assert wrong.returncode == 2
    assert "scorer 'whole' of acme 1.0: relevance: Input should be a valid number" in wrong.stderr
