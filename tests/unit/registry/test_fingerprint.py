"""What an option names counts with its content, whatever the name looks like and wherever the option is."""

from __future__ import annotations

import os
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
from mmedpo_plugins.localizers.heat.heatmap import HeatMapLocalizer
from mmedpo_plugins.phantom.backbone import PhantomBackbone
from mmedpo_plugins.scorers.med_llm_vote.med_llm_vote import MedLlmVoteScorer
from pydantic import BaseModel, Field

from mmedpo import DataError, Scorer
from mmedpo.registry import content_hash as contents_module
from mmedpo.registry.content_hash import hash_path
from mmedpo.registry.fingerprint import hash_part, hash_source
from mmedpo.registry.kinds import KINDS
from mmedpo.registry.plugin_info import PluginInfo


class Inner(BaseModel):
    table: Path = Path("none")


class Anyones(Scorer):
    use: ClassVar[str] = "anyones"
    rates = frozenset({"text"})

    words: str = ""
    mode: Literal["maps", "other"] = "other"
    several: tuple[str, ...] = ()
    places: dict[str, Path] = Field(default_factory=dict)
    inner: Inner = Inner()
    anything: Any = None


def hash_of(part: Any, known: Any = None) -> str:
    plugin = PluginInfo(KINDS["scorer"], part.use, "pkg", "1", EntryPoint("x", "x", "x"))
    return hash_part(part, plugin, known)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder that has a folder `maps`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps/system.txt").write_text("one")
    return tmp_path


NAMING = {
    "a root": lambda: HeatMapLocalizer(root=Path("maps")),
    "an adapter": lambda: PhantomBackbone(adapter="maps"),
    "prompts of a voter": lambda: MedLlmVoteScorer.model_validate(
        {"voters": [{"kind": "openai", "model": "m", "prompts": "maps"}]}
    ),
    "any text": lambda: Anyones(words="maps"),
    "a file": lambda: Anyones(words="maps/system.txt"),
    "one of several": lambda: Anyones(several=("x", "maps")),
    "a value of a mapping": lambda: Anyones(places={"here": Path("maps")}),
    "an option within an option": lambda: Anyones(inner=Inner(table=Path("maps"))),
    "something untyped": lambda: Anyones(anything={"deep": ["maps"]}),
    "the folder itself": lambda: Anyones(inner=Inner(table=Path())),
}


@pytest.mark.parametrize("name", NAMING)
def test_what_an_option_names_counts_with_its_content(name: str, here: Path) -> None:
    part = NAMING[name]()
    first = hash_of(part)
    (here / "maps/system.txt").write_text("two")
    assert hash_of(part) != first
    (here / "maps/system.txt").write_text("one")
    assert hash_of(part) == first


def test_a_choice_and_a_mark_name_no_folder(here: Path) -> None:
    for part in (Anyones(mode="maps"), Anyones(words="."), Anyones(words="/"), Anyones(words="")):
        first = hash_of(part)
        (here / "maps/system.txt").write_text(first)
        assert hash_of(part) == first


def test_a_linked_folder_counts_and_one_within_itself_ends(here: Path) -> None:
    (here / "elsewhere").mkdir()
    (here / "elsewhere/map.npy").write_bytes(b"1")
    (here / "maps/linked").symlink_to(here / "elsewhere")
    (here / "maps/again").symlink_to(here / "maps")
    first = hash_path("maps")
    (here / "elsewhere/map.npy").write_bytes(b"2")
    assert hash_path("maps") != first


def test_a_part_in_a_module_counts_with_the_package_that_its_entry_point_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "shipped"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "part.py").write_text("")
    (package / "weights.txt").write_text("one")
    monkeypatch.syspath_prepend(tmp_path)
    first = hash_source.__wrapped__("shipped", "shipped.part")
    (package / "weights.txt").write_text("two")
    assert hash_source.__wrapped__("shipped", "shipped.part") != first


class Remembered(dict[str, Any]):
    """A journal in memory."""

    put = dict.__setitem__


def test_a_large_folder_is_read_again_only_when_a_file_of_it_changed(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contents_module, "_SMALL", 2)
    monkeypatch.setattr(contents_module, "_SETTLED", 0.0)
    read = []
    real = contents_module._file_hash
    monkeypatch.setattr(contents_module, "_file_hash", lambda path: read.append(path) or real(path))
    known = Remembered()
    first = hash_path("maps", known)
    assert hash_path("maps", known) == first
    assert len(read) == 1
    os.utime(here / "maps/system.txt", ns=(1, 1))
    assert hash_path("maps", known) == first
    (here / "maps/system.txt").write_text("six")
    assert hash_path("maps", known) != first
    assert len(read) == 3


def test_a_file_that_changed_just_now_is_not_remembered(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents_module, "_SMALL", 2)
    known = Remembered()
    hash_path("maps", known)
    assert not known


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_what_cannot_be_read_is_named(here: Path) -> None:
    (here / "maps/system.txt").chmod(0)
    with pytest.raises(DataError, match=r"system\.txt: cannot be read"):
        hash_path("maps")
