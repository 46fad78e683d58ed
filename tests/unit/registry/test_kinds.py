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

# What a ninth kind takes: a contract, and a row.
CONTRACT = """
from abc import ABC, abstractmethod
from typing import ClassVar
from pydantic import InstanceOf, PositiveInt
from mmedpo import Part
from mmedpo.recipe.model import RecipeSection

class Loss(Part, ABC):
    "Say what is wrong with a pair's log-probabilities."
    sides: ClassVar[PositiveInt]
    @abstractmethod
    def loss(self, chosen, rejected): ...

class TrainWithLoss(RecipeSection):
    loss: InstanceOf[Loss] | None = None
"""
ROW = """
from mmedpo.registry.kinds import KINDS, Kind
KINDS["loss"] = Kind("loss", "losses", "loss_contract:Loss", "measure pairs", "train.loss", "training.md")
"""
PLUGIN = """
from loss_contract import Loss
from mmedpo import hookimpl

class Half(Loss):
    "Half of nothing."
    use = "half"
    sides = {sides}
    share: float = 0.5
    "Of what."
    def loss(self, chosen, rejected): return 0.0

@hookimpl
def mmedpo_losses(): return [Half]
"""


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """Return a folder that gives every process below it a ninth kind, and a plugin of that kind."""
    modules = {"sitecustomize": ROW, "loss_contract": CONTRACT, "half_loss": PLUGIN.format(sides=2)}
    return fake_package(tmp_path, "pkg-half", modules, {"mmedpo.losses": {"half": "half_loss"}}, "1.2")


def python(house: Path, *args: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(house)}
    return subprocess.run([sys.executable, *args], capture_output=True, text=True, cwd=house, env=environment)


def test_a_ninth_kind_is_discovered_and_listed(house: Path) -> None:
    rows = json.loads(python(house, "-m", "mmedpo", "plugins", "list", "--json").stdout)
    assert rows[-1] == {"kind": "loss", "name": "half", "package": "pkg-half", "version": "1.2"}


def test_a_part_of_a_ninth_kind_is_imported_through_its_hook_and_described(house: Path) -> None:
    done = python(house, "-m", "mmedpo", "plugins", "check", "half")
    assert done.stdout.startswith("fine    loss 'half' of pkg-half 1.2"), done.stdout
    shown = python(house, "-m", "mmedpo", "plugins", "show", "half").stdout
    assert "half: a loss of pkg-half 1.2" in shown
    assert "train:\n  loss: {use: half}" in shown


def test_a_part_of_a_ninth_kind_is_blamed_for_what_its_class_does_not_say(house: Path) -> None:
    (house / "half_loss.py").write_text(PLUGIN.format(sides=0))
    done = python(house, "-m", "mmedpo", "plugins", "check", "half")
    assert done.returncode == PluginError.exit_code
    assert "loss 'half' of pkg-half 1.2: says 0 for `sides`" in done.stdout


def test_check_part_takes_a_part_of_a_ninth_kind(house: Path) -> None:
    done = python(house, "-c", "from half_loss import *; from mmedpo.testing import check_part; check_part(Half())")
    assert done.returncode == 0, done.stderr


def test_the_schema_holds_the_parts_of_a_ninth_kind_and_a_section_names_them_by_their_contract(house: Path) -> None:
    schema = json.loads(python(house, "-m", "mmedpo", "schema").stdout)
    assert schema["$defs"]["loss.half"]["properties"]["share"]["default"] == 0.5
    code = (
        "from loss_contract import *; from mmedpo.recipe.slots import find_slots; "
        "print(*[(slot.path, slot.kind.name, slot.several) for slot in find_slots(TrainWithLoss)])"
    )
    assert python(house, "-c", code).stdout.strip() == "(('loss',), 'loss', False)"


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
