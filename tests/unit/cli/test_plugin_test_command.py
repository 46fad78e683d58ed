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

class Short(Scorer):
    """Forget the last pair."""
    use = "short"
    rates = frozenset({"text"})
    def score(self, pairs):
        return [Score(0.5) for _ in pairs[1:]]

class Deadly(Short):
    """End the process."""
    use = "deadly"
    def score(self, pairs):
        os._exit(9)

@hookimpl
def mmedpo_scorers():
    return [Whole, Short, Deadly]
'''


@pytest.fixture
def site(tmp_path: Path) -> Path:
    folder = tmp_path / "site"
    folder.mkdir()
    names = ("whole", "short", "deadly")
    return fake_package(folder, "acme", {"acme_parts": PARTS}, {"mmedpo.scorers": dict.fromkeys(names, "acme_parts")})


def test_each_check_is_said_and_a_breach_ends_with_3(mmedpo: Mmedpo, site: Path) -> None:
    kept = mmedpo("plugins", "test", "whole", "--option", "relevance=0.5", packages=site)
    assert kept.returncode == 0, kept.stderr
    assert "kept    any order         gives each pair the same whatever else" in kept.stdout
    assert ", 0 broken, 0 skipped" in kept.stdout
    broken = mmedpo("plugins", "test", "short", "--json", packages=site)
    assert broken.returncode == 3
    first = next(check for check in json.loads(broken.stdout)[0]["checks"] if check["outcome"] == "broken")
    assert first["name"] == "a batch"
    assert first["told"] == "scorer 'short' of acme 1.0: score returned 3 results for 4 items"


def test_what_ends_the_process_is_named_with_its_check(mmedpo: Mmedpo, site: Path) -> None:
    done = mmedpo("plugins", "test", "deadly", packages=site)
    assert done.returncode == 3
    assert "broken  a batch" in done.stdout
    assert "scorer 'deadly' of acme 1.0 ended the process (exit code 9) without a word" in done.stdout


def test_options_come_from_a_recipe_and_what_is_lacking_is_said(mmedpo: Mmedpo, site: Path, tmp_path: Path) -> None:
    lacking = mmedpo("plugins", "test", "whole", packages=site)
    assert lacking.returncode == 0
    assert "it needs relevance: --option relevance=..., or --recipe" in lacking.stdout
    (tmp_path / "r.yaml").write_text("score: [{use: whole, relevance: 7}]\n")
    broken = mmedpo("plugins", "test", "whole", "--recipe", "r.yaml", packages=site)
    assert broken.returncode == 3
    assert "is 7.0, outside [0, 1]" in broken.stdout
    wrong = mmedpo("plugins", "test", "whole", "--option", "relevance=much", packages=site)
    assert wrong.returncode == 2
    assert "scorer 'whole' of acme 1.0: relevance: Input should be a valid number" in wrong.stderr
