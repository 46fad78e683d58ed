"""The table of kinds is all that there is to a kind: another row and its contract make another."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mmedpo import Part, PluginError, Reader, Scorer
from mmedpo.recipe.model import SLOTS
from mmedpo.registry.kinds import KINDS, Kind, find_kind
from mmedpo.testing import fake_package

# What a tenth kind takes: a contract, and a row.
CONTRACT = """
from abc import ABC, abstractmethod
from typing import ClassVar
from pydantic import InstanceOf, PositiveInt
from mmedpo import Part
from mmedpo.recipe.model import RecipeSection

class Judge(Part, ABC):
    "Say what is wrong with a pair's log-probabilities."
    sides: ClassVar[PositiveInt]
    @abstractmethod
    def judge(self, chosen, rejected): ...

class TrainWithJudge(RecipeSection):
    judge: InstanceOf[Judge] | None = None
"""
ROW = """
from mmedpo.registry.kinds import KINDS, Kind
KINDS["judge"] = Kind("judge", "judges", "judge_contract:Judge", "measure pairs", "train.judge", "training.md")
"""
PLUGIN = """
from judge_contract import Judge
from mmedpo import hookimpl

class Half(Judge):
    "Half of nothing."
    use = "half"
    sides = {sides}
    share: float = 0.5
    "Of what."
    def judge(self, chosen, rejected): return 0.0

@hookimpl
def mmedpo_judges(): return [Half]
"""


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """Return a folder that gives every process below it a tenth kind, and a plugin of that kind."""
    modules = {"sitecustomize": ROW, "judge_contract": CONTRACT, "half_judge": PLUGIN.format(sides=2)}
    return fake_package(tmp_path, "pkg-half", modules, {"mmedpo.judges": {"half": "half_judge"}}, "1.2")


def python(house: Path, *args: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(house)}
    return subprocess.run([sys.executable, *args], capture_output=True, text=True, cwd=house, env=environment)


def test_a_tenth_kind_is_discovered_and_listed(house: Path) -> None:
    rows = json.loads(python(house, "-m", "mmedpo", "plugins", "list", "--json").stdout)
    assert rows[-1] == {"kind": "judge", "name": "half", "package": "pkg-half", "version": "1.2"}


def test_a_part_of_a_tenth_kind_is_imported_through_its_hook_and_described(house: Path) -> None:
    done = python(house, "-m", "mmedpo", "plugins", "check", "half")
    assert done.stdout.startswith("fine    judge 'half' of pkg-half 1.2"), done.stdout
    shown = python(house, "-m", "mmedpo", "plugins", "show", "half").stdout
    assert "half: a judge of pkg-half 1.2" in shown
    assert "train:\n  judge: {use: half}" in shown


def test_a_part_of_a_tenth_kind_is_blamed_for_what_its_class_does_not_say(house: Path) -> None:
    (house / "half_judge.py").write_text(PLUGIN.format(sides=0))
    done = python(house, "-m", "mmedpo", "plugins", "check", "half")
    assert done.returncode == PluginError.exit_code
    assert "judge 'half' of pkg-half 1.2: says 0 for `sides`" in done.stdout


def test_check_part_takes_a_part_of_a_tenth_kind(house: Path) -> None:
    done = python(house, "-c", "from half_judge import *; from mmedpo.testing import check_part; check_part(Half())")
    assert done.returncode == 0, done.stderr


def test_the_schema_holds_the_parts_of_a_tenth_kind_and_a_section_names_them_by_their_contract(house: Path) -> None:
    schema = json.loads(python(house, "-m", "mmedpo", "schema").stdout)
    assert schema["$defs"]["judge.half"]["properties"]["share"]["default"] == 0.5
    code = (
        "from judge_contract import *; from mmedpo.recipe.slots import find_slots; "
        "print(*[(slot.path, slot.kind.name, slot.several) for slot in find_slots(TrainWithJudge)])"
    )
    assert python(house, "-c", code).stdout.strip() == "(('judge',), 'judge', False)"


@pytest.mark.parametrize("kind", KINDS.values(), ids=str)
def test_the_recipe_names_each_kind_where_the_table_says(kind: Kind) -> None:
    slot = SLOTS[tuple(kind.key.split("."))]
    assert (slot.kind, slot.several) == (kind, kind.several)


@pytest.mark.parametrize("kind", KINDS.values(), ids=str)
def test_a_contract_is_of_its_own_kind(kind: Kind) -> None:
    assert find_kind(kind.contract) is kind
    assert kind.contract.__doc__


def test_a_class_is_of_the_kind_of_the_contract_that_it_is_built_on() -> None:
    class Mine(Scorer):
        pass

    assert find_kind(Mine) is KINDS["scorer"]
    assert find_kind(Reader) is KINDS["reader"]


def test_a_part_that_is_built_on_no_contract_is_of_no_kind() -> None:
    with pytest.raises(PluginError, match="Part is a part of no kind; build it on the contract of a reader, a "):
        find_kind(Part)
