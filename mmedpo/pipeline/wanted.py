"""Which results a recipe wants: the key of each, from what it is made from, and the run folder laid out by them."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from mmedpo.core.records import Case, Pair, digest_list
from mmedpo.evaluate.answering import choose_models
from mmedpo.recipe.model import dump_recipe
from mmedpo.registry.content_hash import hash_path
from mmedpo.registry.contracts.part import Part
from mmedpo.registry.fingerprint import content_json, hash_part
from mmedpo.runtime.context import RunContext
from mmedpo.runtime.served_backbone import served_facts
from mmedpo.store.result_keys import claim_result
from mmedpo.store.run_files.format import PAIRS


def lay_out(run: RunContext, pairs: str) -> None:
    """Leave in the run folder the results that belong to its recipe and to the pairs of this key; set others aside."""
    folder, recipe = run.folder, run.recipe
    run.did |= claim_result(folder, "pairs", pairs)
    there = (folder / PAIRS).exists()
    run.did |= claim_result(folder, "adapter", adapter_key(run) if there and recipe.train else None)
    ready = there and (recipe.train is None or (folder / "adapter" / "adapter_config.json").exists())
    run.did |= claim_result(folder, "measures", measures_key(run) if ready and recipe.evaluate else None)


def pairs_key(run: RunContext, records: Sequence[Case | Pair]) -> str:
    """Hash what the weighted pairs are made from: the records and all parts up to the weighting."""
    recipe = run.recipe
    parts: list[Part] = [*recipe.localize, *recipe.disprefer, *recipe.score]
    sampled = any(part.needs_backbone for part in recipe.disprefer)
    if any(getattr(part, "needs_backbone", False) for part in parts):
        parts.append(recipe.backbone)
    learned = recipe.detector and dump_recipe(run.loaded)["detector"]
    if learned:  # its checkpoint is made on the way
        parts = [part for part in parts if part not in recipe.localize]
    seen = digest_list(map(content_json, records))
    how = [recipe.localized, recipe.unrated, learned, dump_recipe(run.loaded)["localize"]]
    served = served_facts(recipe.backbone) if sampled else []
    return run.key(recipe.weigh, "pairs", seen, how, _hashes(run, parts), *served)


def adapter_key(run: RunContext) -> str:
    """Hash what the adapter is trained from: the pairs as they lie in the folder, the options and the model."""
    assert run.recipe.train is not None
    return run.key(run.recipe.backbone, "train", pairs_hash(run), run.recipe.train.model_dump(mode="json"))


def measures_key(run: RunContext) -> str:
    """Hash what the measures are made from: the adapter and the pairs in the folder, and what is asked."""
    options = run.recipe.evaluate
    assert options is not None
    adapter = hash_path(str(run.folder / "adapter"), run.journal) if run.recipe.train else None
    asked = dump_recipe(run.loaded)["evaluate"]
    parts = _hashes(run, [*options.measure, *options.probe])
    models = choose_models(run.recipe.backbone, run.folder / "adapter" if run.recipe.train else None)
    served = [facts for model in models if model for facts in served_facts(model)]
    return run.key(run.recipe.backbone, "measures", adapter, pairs_hash(run), asked, parts, *served)


def pairs_hash(run: RunContext) -> str:
    """Hash the pairs in the folder."""
    return sha256((run.folder / PAIRS).read_bytes()).hexdigest()


def _hashes(run: RunContext, parts: Sequence[Part]) -> list[Any]:
    return [hash_part(part, run.plugin_of(part), run.journal) for part in parts]
