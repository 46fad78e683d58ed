"""The page about data: every reader is on it, and its first recipe makes pairs of a folder in SLAKE's layout."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from conftest import ROOT, Mmedpo
from released_layouts import write_slake

from mmedpo.registry.discovery import find_parts
from mmedpo.registry.kinds import KINDS
from mmedpo.store.run_files.record import RunRecord

PAGE = (ROOT / "docs" / "guides" / "data.md").read_text()
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def slake(tmp_path: Path) -> Path:
    """Write a small folder in SLAKE's layout."""
    write_slake(root := tmp_path / "data" / "slake")
    return root


def test_every_reader_has_its_place_on_the_page() -> None:
    names = {part.name for part in find_parts() if part.kind is KINDS["reader"] and part.package == "mmedpo"}
    assert names == {name for name in names if f"`{name}`" in PAGE}
    assert names <= set(re.findall(r"use: ([\w-]+)", PAGE)) | {"phantom"}


@pytest.mark.slow
def test_the_first_recipe_makes_text_and_image_pairs(mmedpo: Mmedpo, tmp_path: Path, slake: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(BLOCKS[0])
    done = mmedpo("run", "recipe.yaml", "backbone={use: phantom}", "--until", "weigh", "--json")
    assert done.returncode == 0, done.stderr
    pairs = [json.loads(line)["pair"] for line in (tmp_path / "runs/slake/pairs.jsonl").read_text().splitlines()]
    assert sorted(pair["made_by"] for pair in pairs) == ["lesion-noise"] * 2 + ["opposite-answer"] * 2
    assert all(pair["notes"]["regions"][0]["label"] == "Effusion" for pair in pairs if pair["kind"] == "image")


@pytest.mark.slow
def test_the_lesions_that_slake_comes_with_are_noised_and_trained_on(
    mmedpo: Mmedpo, tmp_path: Path, slake: Path
) -> None:
    here = [
        "output=out",
        "data={use: slake, root: data/slake, split: train}",
        "localize={use: annotated}",
        "detector=null",
        "train.lora={r: 4, alpha: 8}",
        "train.validation=0",
        "evaluate.data={use: slake, root: data/slake, split: test}",
    ]
    done = mmedpo("run", ROOT / "examples" / "lesions.yaml", *here, "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    run = RunRecord.model_validate(result["run"])
    assert run.stage("disprefer").total("pairs", part="lesion-noise") == 2
    assert run.stage("train").total("trained_pairs") == 2
    assert result["measures"]["cases"] == 2
    assert (tmp_path / "out/adapter/adapter_model.safetensors").exists()
    (region,) = json.loads((tmp_path / "out/pairs.jsonl").read_text().splitlines()[0])["pair"]["case"]["regions"]
    assert (region["label"], region["box"]) == ("Effusion", [8, 9, 28, 33])
