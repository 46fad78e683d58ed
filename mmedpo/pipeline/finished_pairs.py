"""Know finished pairs again: where all that they are made from is the same, no stage has to go through them.

What the stages came to is kept in the journal under its own key, with what tells whether somebody has touched the pairs
or their images since.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from mmedpo.core.records import digest
from mmedpo.core.stage import Stage
from mmedpo.curate.weighing import WeighedPairs
from mmedpo.events import StageCount, StageStarted
from mmedpo.pipeline.wanted import WantedPairs, hash_parts, pairs_hash
from mmedpo.runtime.context import RunContext
from mmedpo.store.journal import place_image
from mmedpo.store.run_files.dropped import DroppedCase
from mmedpo.store.run_files.format import PAIRS

STAGES = (Stage.LOCALIZE, Stage.DISPREFER, Stage.SCORE, Stage.WEIGH)


def keep_finished(run: RunContext, wanted: WantedPairs, made: WeighedPairs) -> None:
    """Note what the stages came to, unless the next run has something to try again or to say again."""
    if not run.again:
        flow = {stage: [asdict(count) for count in run.flow[stage].counts] for stage in STAGES if stage in run.flow}
        facts = {"flow": flow, "scoring": run.scoring, "means": made.means, "images": list(made.images)}
        run.journal.put(_key(run, wanted), {**facts, "state": _state(run, made.images)})


def recall_finished(run: RunContext, wanted: WantedPairs) -> WeighedPairs | None:
    """Return what the folder's pairs are and tell what the stages counted; None where the stages have to say."""
    if not (run.folder / PAIRS).exists() or not (run.folder / DroppedCase.file).exists():
        return None

    def read(value: Mapping[str, Any]) -> tuple[WeighedPairs, dict[str, list[StageCount]]] | None:
        if value["state"] != _state(run, value["images"]):
            return None
        counts = {stage: [StageCount(**count) for count in told] for stage, told in value["flow"].items()}
        run.scoring |= value["scoring"]
        return WeighedPairs(value["means"], value["images"]), counts

    known = run.journal.get(_key(run, wanted), read)
    for stage, counts in known[1].items() if known else ():
        run.see(StageStarted(stage, 0))
        run.finish(stage, counts)
    return known[0] if known else None


def _key(run: RunContext, wanted: WantedPairs) -> str:
    """Hash what the file of pairs is made from, a localizer's checkpoint and the paths of images among it."""
    return digest("finished pairs", wanted.key, wanted.places, hash_parts(run, run.recipe.localize))


def _state(run: RunContext, images: Iterable[str]) -> list[Any]:
    """Return what changes when somebody touches the pairs, or images of theirs in the run folder or the journal's."""
    looks = [
        [(stat := os.stat(path)).st_size, stat.st_mtime_ns]
        for sha256 in images
        for path in (run.folder / "images" / place_image(sha256), run.journal.image_path(sha256))
        if os.path.exists(path)
    ]
    return [pairs_hash(run.folder), digest(looks)]
