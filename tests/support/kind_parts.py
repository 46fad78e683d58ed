"""The part that the page of each kind shows: installed as a package of its own, and named in a small recipe."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from conftest import ROOT
from PIL import Image
from ruamel.yaml import YAML

from mmedpo.registry.kinds import KINDS
from mmedpo.testing import fake_package

PAGES = ROOT / "docs/reference/kinds"
SMALL: dict[str, Any] = {
    "output": "run",
    "data": {"use": "phantom"},
    "backbone": {"use": "phantom"},
    "disprefer": [{"use": "opposite-answer"}],
    "unrated": "keep",
}
FEW = {"images": 2, "reports": 0}  # of the phantom
BESIDE: dict[str, Any] = {  # what a part of a kind needs in a recipe, so that it is asked
    "localizer": {"disprefer": [{"use": "lesion-noise"}]},
    "weighting": {"score": {"use": "med-llm-vote"}},
    "loss": {"train": {"epochs": 1, "batch_size": 4, "lora": {"r": 2, "alpha": 4}}},
    "backbone": {"disprefer": [{"use": "self-hallucination", "samples": 2}]},
    "metric": {"disprefer": None, "unrated": None},
}


def code_of(kind: str) -> str:
    """Return the part that a kind's page shows."""
    return _block(kind, "python")


def use_of(kind: str) -> str:
    """Return the name of that part."""
    return re.findall(r'^    use = "(.+)"$', code_of(kind), re.MULTILINE)[0]


def _block(kind: str, language: str) -> str:
    return re.findall(rf"```{language}\n(.*?)```", (PAGES / f"{kind}.md").read_text(), re.DOTALL)[0]


def install(folder: Path, kind: str, code: str, module: str, *, point: str = "", requires: str = "") -> Path:
    """Write a module as an installed package with one part of a kind; return the folder for the path."""
    folder.mkdir(exist_ok=True)
    points = {KINDS[kind].group: {use_of(kind): point or module}}
    fake_package(folder, "their-package", {module: code}, points, "2.1")
    with (folder / "their_package-2.1.dist-info/METADATA").open("a") as metadata:
        metadata.write(f"Requires-Dist: {requires}\n" if requires else "")
    return folder


def write_films(folder: Path) -> None:
    """Write the table of films that the page of readers reads."""
    for number in range(2):
        Image.new("L", (64, 64), 40 + number).save(folder / f"{number}.png")
    rows = ["id,image,question,answer", "a,0.png,Is there a nodule?,Yes", "b,1.png,Is there a nodule?,No"]
    (folder / "films.csv").write_text("\n".join(rows))


def recipe_of(kind: str, **sections: Any) -> dict[str, Any]:
    """Return a small recipe that names the page's part as its page does, with other sections beside it."""
    named = YAML(typ="safe").load(_block(kind, "yaml"))
    recipe = SMALL | BESIDE.get(kind, {}) | named | sections
    if kind == "loss":
        recipe["train"] = BESIDE["loss"]["train"] | named["train"]
    recipe["data"] = _few(recipe["data"])
    if kind == "metric":
        recipe["evaluate"]["data"] = _few(recipe["evaluate"]["data"])
    return {key: value for key, value in recipe.items() if value is not None}


def _few(reader: dict[str, Any]) -> dict[str, Any]:
    return reader | FEW if reader["use"] == "phantom" else reader
