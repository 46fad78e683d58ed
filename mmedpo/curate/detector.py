"""Teach a recipe's localizer from annotated cases, once; the checkpoint says what it was taught from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmedpo.core.machine.disk import guard_writes
from mmedpo.core.records import Case
from mmedpo.curate.reading import read_records
from mmedpo.errors import DataError, RecipeError
from mmedpo.events import StageAdvanced, StageStarted
from mmedpo.registry.conformance.blame import blame_part
from mmedpo.registry.conformance.values import check_json
from mmedpo.registry.contracts.localizer import Localizer
from mmedpo.registry.contracts.reader import Reader
from mmedpo.registry.fingerprint import hash_part
from mmedpo.runtime.context import RunContext
from mmedpo.store.run_folder import read_json, write_json

STAGE = "detector"


def facts_file(learnt: Path) -> Path:
    """Return where it is written how a checkpoint came about and how good it is."""
    return learnt.with_suffix(".json")


def learner(run: RunContext) -> Localizer:
    """Return the localizer that learns. Raises RecipeError when the recipe teaches none."""
    if run.recipe.detector is None:
        raise RecipeError(f"{run.loaded.name}: has no 'detector:' that says what its localizer learns from")
    return next(part for part in run.recipe.localize if part.learnt)


def train_localizer(run: RunContext) -> dict[str, Any]:
    """Train the localizer unless its checkpoint is there; return what is known of it.

    Raises RecipeError for a checkpoint of other settings, DataError for an image in two of the sets.
    """
    part = learner(run)
    assert part.learnt is not None
    key = _key(run, part)
    known = read_json(facts_file(part.learnt))
    if part.learnt.exists():
        if known and known["key"] != key:
            message = "was trained with other options, data or another seed; delete it, or name another checkpoint"
            raise RecipeError(f"{part.learnt}: {message}")
        return dict(known or {})
    run.did = True
    cases: dict[str, Sequence[Case]] = {name: _annotated(run, reader, name) for name, reader in _readers(run).items()}
    _require_apart(cases)
    run.see(StageStarted(STAGE, 0))
    before = 0

    def tell(step: int, steps: int) -> None:
        nonlocal before
        if before == 0:
            run.see(StageStarted(STAGE, steps))
        run.see(StageAdvanced(STAGE, step - before))
        before = step

    with blame_part(run.plugin_of(part), "localize.learning"), guard_writes(part.learnt):
        by_image: dict[str, Sequence[Case]] = {
            name: [one for case in some for one in case.by_image()] for name, some in cases.items()
        }
        facts = part.learn(by_image, run.setting, tell)
    facts = check_json(run.plugin_of(part), "what learn returned", facts)
    write_json(facts_file(part.learnt), {"key": key, **facts})
    return {"key": key, **facts}


def _readers(run: RunContext) -> dict[str, Reader]:
    options = run.recipe.detector
    assert options is not None
    named = {"train": options.train, "validation": options.validation, "test": options.test}
    return {name: reader for name, reader in named.items() if reader is not None}


def _key(run: RunContext, part: Localizer) -> str:
    """Hash what the checkpoint comes from, its own place left out."""
    name = next(name for name in type(part).model_fields if getattr(part, name) == part.learnt)
    elsewhere = part.model_copy(update={name: Path("\0")})  # no file has this name; "." would be all that lies here
    return run.key(
        elsewhere, [hash_part(reader, run.plugin_of(reader), run.journal) for reader in _readers(run).values()]
    )


def _annotated(run: RunContext, reader: Reader, name: str) -> Sequence[Case]:
    """Read the cases that have a region or an annotation that there is none."""
    return read_records(run, [reader], f"{STAGE}: read {name}", shown=False).cases


def _require_apart(cases: dict[str, Sequence[Case]]) -> None:
    """Refuse sets that share an image: what is chosen or measured on trained images says nothing."""
    seen: dict[str, str] = {}
    for name, some in cases.items():
        for case in some:
            for image in case.images:
                other = seen.setdefault(image.sha256, name)
                if other != name:
                    raise DataError(f"detector: the image of case {case.id!r} ({image.path}) is in {other} and {name}")
