"""Every row of the paper's tables runs at tiny size, on stand-ins of the four data sets in the files they come in."""

from __future__ import annotations

import gc
import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from paid_recipe import answer
from released_layouts import LAYOUTS, TRAIN
from tiny_clip import write_tiny_clip
from tiny_llava_llama import TinyRelease
from tiny_llava_med import make_model, released_tensors, write_release
from tiny_medklip import write_medklip
from tiny_wordnet import write_wordnet

from mmedpo.core.stage import Stage
from mmedpo.evaluate.methods.names import list_methods
from mmedpo.evaluate.published_numbers import compare_with_published, load_published
from mmedpo.pipeline.cost import CostEstimate, estimate_cost
from mmedpo.pipeline.run import RunResult
from mmedpo.pipeline.variants import run_variants
from mmedpo.recipe.document.yaml import read_yaml
from mmedpo.recipe.planning import choose_runs, plan_runs
from mmedpo.recipe.preflight import require_ready
from mmedpo.store.run_files.reader import read_pairs
from mmedpo.store.run_files.rounds import find_result
from mmedpo.testing import FakeEndpoint, FakeReply, fake_endpoint

pytestmark = pytest.mark.slow
RECIPES = ROOT / "examples" / "paper"
PAPER = load_published("paper")
SMALLER = {  # what stands in the recipes for a large machine: what stands there for a small one
    "seeds: [0, 1, 2]": "seeds: [0]",
    "dtype: bfloat16": "dtype: float32\ndevice: cpu\nthreads: 1",
    "r: 128, alpha: 256": "r: 2, alpha: 4",
    "epochs: 3": "epochs: 0.5",
    "samples: 4": "samples: 2",
    "rounds: 5": "rounds: 1",
}
TALKATIVE = {  # the phantom's model, which says something in few words and follows no instructions
    "{use: llava-med, checkpoint: weights/llava-med}": "{use: phantom}",
    "judge: expect": "judge: likelihood",
    "temperature: 0.7": "temperature: 5.0",
    "temperature: 0.8": "temperature: 5.0, critic: rules",
    "sample_temperature: 1.2": "sample_temperature: 5.0",
    "{use: self-hallucination, samples: 2}": "{use: self-hallucination, samples: 8, temperature: 5.0}",
    "{backbone.checkpoint:": "{backbone.use: llava-med, backbone.checkpoint:",
}


def reply(request: dict[str, Any], before: int) -> FakeReply:
    """Answer as GPT-4o, as the expert of STLLaVA-Med, and as a voter."""
    said = request["messages"][1]["content"]
    asked = said if isinstance(said, str) else said[0]["text"]
    if "Answer 1:" in asked:
        return FakeReply(text=json.dumps({"first": 3, "second": 8, "reason": "The side."}))
    return FakeReply(text=answer(request))


@pytest.fixture(scope="module")
def server() -> Iterator[FakeEndpoint]:
    with fake_endpoint(reply) as made:
        yield made


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write what the recipes name in `weights/`, of drawn numbers."""
    folder = tmp_path_factory.mktemp("weights")
    write_tiny_clip(folder / "clip")
    write_release(folder / "llava-med", released_tensors(make_model()))
    TinyRelease.plus_plus(folder / "LLaVA-Med-pp")
    write_medklip(folder / "medklip")
    write_wordnet(folder / "wordnet")
    return folder


def write_small(
    name: str, folder: Path, weights: Path, server: FakeEndpoint, changes: dict[str, str], recipe: Path | None = None
) -> list[str]:
    """Write a recipe of the paper's, or another, small into a folder, with its data; return its variants."""
    LAYOUTS[name](folder / "data")
    (folder / "weights").symlink_to(weights)
    text = (recipe or RECIPES / f"{name}.yaml").read_text()
    text = re.sub(r"(root|reports): data/[\w-]+", r"\1: data", text)
    text = re.sub(r"http://localhost:\d+/v1", server.url, text)
    text = text.replace("model: gpt-4o,", f'model: gpt-4o, base_url: "{server.url}",')
    text = text.replace("microsoft/llava-med-v1.5-mistral-7b", "weights/llava-med")
    text = text.replace("openai/clip-vit-large-patch14-336", "weights/clip")
    text = text.replace("meteor: wordnet", "meteor: wordnet, wordnet: weights/wordnet")
    text = re.sub(r"queries: .*\n  text_model: .*\n", "queries: weights/medklip/queries.safetensors\n", text)
    text = text.replace("checkpoint_full.pth", "checkpoint.pth")
    for there, here in {**SMALLER, **changes}.items():
        text = text.replace(there, here)
    (folder / "recipe.yaml").write_text(text)
    return list(read_yaml(folder / "recipe.yaml").values["variants"])


def require_cells(name: str, variants: list[str]) -> None:
    """Require of each variant that is printed a number of ours beside each of its cells."""
    compared = compare_with_published(list_methods([f"runs/paper/{name}/{variant}-0" for variant in variants]), "paper")
    lacking = [(row["method"], row["column"]) for row in compared.rows if "value" not in row]
    assert not lacking
    printed = {row["method"] for row in compared.rows}
    found = next(one for one in PAPER.sets.values() if one.name == compared.rows[0]["data"])
    assert printed == {*found.rows, *found.ablations} & {*variants}


def run(recipe: Path, *names: str) -> dict[str, list[RunResult]]:
    """Carry out variants as the command does; what they have in common is done once."""
    planned = choose_runs(plan_runs(recipe), names)
    for one in planned:
        require_ready(one.loaded, starts=one.start is not None)
    return run_variants(planned, lambda event: None, until=Stage.EVALUATE)


def estimate(recipe: Path) -> dict[str, CostEstimate]:
    """Return what each variant can cost at most, as --dry-run says it."""
    return {one.variant: estimate_cost(one.loaded, one.loaded.recipe.output) for one in plan_runs(recipe)}


@pytest.fixture(autouse=True)
def in_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw no report, which other tests look at, and look for no garbage among all that tests have imported."""
    for module in ("run", "rounds"):
        monkeypatch.setattr(f"mmedpo.pipeline.{module}.write_report", lambda folders: Path("report.html"))
    monkeypatch.setattr(gc, "collect", lambda *generations: 0)


def test_every_row_of_a_table_runs(
    tmp_path: Path, weights: Path, server: FakeEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    variants = write_small("slake", tmp_path, weights, server, TALKATIVE)
    monkeypatch.chdir(tmp_path)
    most = estimate(Path("recipe.yaml"))
    assert (most["mmedpo"].pairs, most["dpo"].pairs, most["base"].pairs) == (2 * len(TRAIN), len(TRAIN), 0)
    asked = {line.model.split("/")[-1] for line in most["mmedpo"].lines}
    assert asked == {"gpt-4o", "Llama3-Med42-8B", "Llama3-Med42-70B", "BioMistral-7B"}
    results = run(Path("recipe.yaml"))
    assert list(results) == variants
    trained = {name for name, (one,) in results.items() if (find_result(one.folder) / "adapter").exists()}
    assert set(variants) - trained == {"base", "plus-base"}
    require_cells("slake", variants)


@pytest.mark.parametrize("name", ["vqa_rad", "iu_xray", "mimic_cxr"])
def test_the_method_and_the_model_alone_run_on_each_data_set(
    name: str, tmp_path: Path, weights: Path, server: FakeEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_small(name, tmp_path, weights, server, {})
    monkeypatch.chdir(tmp_path)
    assert estimate(Path("recipe.yaml"))["mmedpo"].pairs == 2 * len(TRAIN)
    results = run(Path("recipe.yaml"), "mmedpo", "base")
    made = Counter(item.pair.kind for item in read_pairs(results["mmedpo"][0].folder))
    assert made == dict.fromkeys(("text", "image"), len(TRAIN))  # as published, as many of one kind as of the other
    require_cells(name, ["mmedpo", "base"])


def test_the_study_of_weights_takes_a_real_data_set_and_a_large_model(
    tmp_path: Path, weights: Path, server: FakeEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it trains and measures is run above; here every variant is checked, and costs what it should."""
    study = ROOT / "examples" / "studies" / "weights_slake.yaml"
    variants = write_small("slake", tmp_path, weights, server, {}, study)
    monkeypatch.chdir(tmp_path)
    for one in plan_runs(Path("recipe.yaml")):
        require_ready(one.loaded, starts=one.start is not None)
    most = estimate(Path("recipe.yaml"))
    assert list(most) == variants
    assert len({one.pairs for one in most.values()}) == 1, "all learn from the same pairs"
    asked = {name: {line.model.split("/")[-1] for line in one.lines} for name, one in most.items()}
    llms = {"Llama3-Med42-8B", "BioMistral-7B"}
    assert asked == {name: llms if name.startswith("llms-") else set() for name in variants}
