"""The stage weigh: weights of the whole set, and the file of weighted pairs."""

from __future__ import annotations

from collections.abc import Sequence

from mmedpo.core.records import GIVEN, Pair, Score, WeightedPair, to_json
from mmedpo.errors import DataError
from mmedpo.events import StageCount, StageStarted
from mmedpo.registry.conformance.blame import blame_part
from mmedpo.registry.conformance.weighting import check_weights
from mmedpo.runtime.context import RunContext
from mmedpo.store.image_links import link_images
from mmedpo.store.result_keys import set_aside
from mmedpo.store.run_files.format import PAIRS
from mmedpo.store.run_folder import json_line, write_text


def weigh_pairs(run: RunContext, rated: list[tuple[Pair, Score]]) -> list[WeightedPair]:
    """Make weights of the relevances of the whole set, and write pairs.jsonl and the images it names."""
    part = run.recipe.weigh
    plugin = run.plugin_of(part)
    scores = [given for _, given in rated if given.relevance is not None]
    run.see(StageStarted("weigh", len(rated)))
    with blame_part(plugin, "--limit"):
        weights = part.weigh(scores) if scores else []
    rest = iter(check_weights(plugin, weights, len(scores)))
    keep = run.recipe.unrated == "keep"
    every = [WeightedPair(p, s, _weight_of_unrated(p) if s.relevance is None else next(rest)) for p, s in rated]
    weighted = [item for item in every if keep or item.score.relevance is not None]
    dropped = StageCount("dropped_pairs", len(every) - len(weighted))
    run.finish("weigh", [StageCount("weighted_pairs", len(weighted)), dropped])
    if not weighted:
        raise DataError(f"none of {len(rated)} pairs has a relevance; see 'unrated:' and the scorers' evidence")
    write_pairs(run, weighted)
    return weighted


def _weight_of_unrated(pair: Pair) -> float:
    """Return the weight of a pair that nobody rated: the one that it came with, else 1."""
    return float(pair.notes.get(GIVEN, {}).get("weight", 1.0))


def write_pairs(run: RunContext, weighted: Sequence[WeightedPair]) -> None:
    """Write pairs.jsonl, with every image that a part made under images/."""
    lines = [json_line(link_images(run.folder, run.journal, to_json(item))) for item in weighted]
    path, text = run.folder / PAIRS, "\n".join(lines) + "\n"
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        run.did = True
        set_aside(run.folder, "adapter")  # trained from other pairs
        write_text(path, text)


def kind_means(weighted: Sequence[WeightedPair]) -> dict[str, float]:
    """Return the mean weight of each pair kind, which tells how much of the loss each can claim."""
    kinds = sorted({item.pair.kind for item in weighted})
    by_kind = {kind: [item.weight for item in weighted if item.pair.kind == kind] for kind in kinds}
    return {kind: round(sum(weights) / len(weights), 6) for kind, weights in by_kind.items()}
