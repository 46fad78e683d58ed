"""What a run needs on this machine and does not find, told before anything is done, all at once.

A recipe that is right as written may still lack a data set, a checkpoint, a package, or a place to write to.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from mmedpo.core.json_values import Keys
from mmedpo.core.stage import Stage
from mmedpo.errors import DataError, PluginError, RecipeError
from mmedpo.models.quantization import explain_missing_package
from mmedpo.recipe.memory import describe_needs, explain_no_room
from mmedpo.recipe.model import LoadedRecipe, Recipe
from mmedpo.registry.contracts.backbone import Backbone
from mmedpo.registry.contracts.dispreference import Dispreference
from mmedpo.registry.contracts.reader import Reader
from mmedpo.registry.making import list_lacking
from mmedpo.registry.path_options import find_paths

SECTIONS = {  # of a recipe, by the first stage that needs them
    "data": Stage.READ, "observe": Stage.READ, "localize": Stage.LOCALIZE, "detector": Stage.LOCALIZE,
    "disprefer": Stage.DISPREFER, "score": Stage.SCORE, "weigh": Stage.WEIGH, "train": Stage.TRAIN,
    "evaluate": Stage.EVALUATE,
}  # fmt: skip
ASKED = ("data", "disprefer", "score")  # what `--dry-run` looks into
MODULES = {  # of trackers that are imported under another name, or need more
    "azure_ml": ("azureml",), "dagshub": ("dagshub", "mlflow"), "flyte": ("flytekit",), "kubeflow": (),
}  # fmt: skip


@dataclass(frozen=True)
class MissingRequirement:
    """Something that is not here."""

    line: str  # with its place
    written: bool = False  # whether the recipe must change; else data or a model must come
    package: bool = False  # whether a package must come


def sections_until(recipe: Recipe, until: Stage) -> set[str]:
    """Return the sections of a recipe that a run up to a stage needs."""
    sections = {name for name, stage in SECTIONS.items() if until.reaches(stage)}
    if until is Stage.EVALUATE and recipe.measures_alone:
        return {"observe", "evaluate", "backbone"}
    models = [*recipe.localize] * ("localize" in sections) + [*recipe.disprefer] * ("disprefer" in sections)
    trained = ("train" in sections and recipe.train) or ("evaluate" in sections and recipe.evaluate)
    return sections | ({"backbone"} if trained or any(part.needs_backbone for part in models) else set())


def require_ready(loaded: LoadedRecipe, sections: Collection[str] | None = None, *, starts: bool = False) -> None:
    """Raise DataError, RecipeError where the recipe must change, PluginError where packages alone are not here.

    Its lines are all that is not here.
    `starts`: its backbone begins with the adapter of a run that comes before.
    """
    wanted = sections if sections is not None else sections_until(loaded.recipe, Stage.EVALUATE)
    lacks = [lack for lack in _find_missing(loaded, starts) if lack[0] in wanted or lack[0] == "output"]
    if lacks:
        packages = PluginError if all(lack.package for _, lack in lacks) else DataError
        error = RecipeError if any(lack.written for _, lack in lacks) else packages
        raise error("\n".join(dict.fromkeys(lack.line for _, lack in lacks)))


def _find_missing(loaded: LoadedRecipe, starts: bool) -> Iterator[tuple[str, MissingRequirement]]:
    """Yield what is not here, with the section that needs it."""
    yield from (("output", lack) for lack in _find_unfit_places(loaded))
    for named in find_paths(loaded.recipe):
        begun = starts and named.keys == ("backbone", "adapter")
        if named.needed and not begun and (wrong := named.needed.lacking(named.path)):
            seen_from = "" if os.path.isabs(named.path) else f" (seen from {os.getcwd()})"
            yield str(named.keys[0]), _make_missing(loaded, named.keys, f"{named.path}: {wrong}{seen_from}")
    for keys, part in loaded.parts():
        told = list_lacking(loaded.plugins[type(part)], part)
        yield from ((str(keys[0]), _make_missing(loaded, keys, line)) for line in told)
    yield from _find_missing_trackers(loaded)
    yield from _find_missing_engine(loaded)
    yield from _find_missing_bits(loaded)
    yield from _find_missing_deepspeed(loaded)
    for section, why in explain_no_room(loaded.recipe):
        yield section, _make_missing(loaded, ("backbone",), why, written=True)
    yield from _find_blind_parts(loaded)
    yield from _find_too_many_images(loaded)


def _make_missing(loaded: LoadedRecipe, keys: Keys, message: str, *, written: bool = False) -> MissingRequirement:
    name = ".".join(map(str, loaded.as_written(keys)))
    return MissingRequirement(f"{loaded.place(keys)}: {name}: {message}", written)


def _find_unfit_places(loaded: LoadedRecipe) -> Iterator[MissingRequirement]:
    """Find places to write to that cannot be made."""
    for key in ("output", "journal"):
        place: Path | None = getattr(loaded.recipe, key)
        wrong = explain_unfit_place(place, file=key == "journal") if place else ""
        if wrong:
            yield _make_missing(loaded, (key,), wrong, written=True)


def explain_unfit_place(place: Path, *, file: bool | None = False) -> str:
    """Say why a file, a folder, or whichever (None) cannot be made, or written, at a place; "" where it can."""
    try:
        if file is not None and place.exists() and place.is_dir() == file:
            return f"{place}: is a {'folder' if file else 'file'}; name another place"
        there = place if place.exists() else next(one for one in place.absolute().parents if one.exists())
    except (OSError, ValueError) as error:  # a name that is too long
        return f"{str(place)[:80]}: cannot be made ({getattr(error, 'strerror', '') or error})"
    if there != place and not there.is_dir():
        return f"{place}: cannot be made: {there} is a file"
    return "" if os.access(there, os.W_OK) else f"{place}: cannot be written: {there} is read-only for you"


def _find_missing_trackers(loaded: LoadedRecipe) -> Iterator[tuple[str, MissingRequirement]]:
    """Find trackers that are not installed: training would end over them, after everything else was done."""
    for index, name in enumerate(loaded.recipe.train.report_to if loaded.recipe.train else ()):
        other = name == "tensorboard" and _is_installed("tensorboardX")
        for module in () if other else MODULES.get(name, (name,)):
            if not _is_installed(module):
                message = f"{name} needs the package {module}, which is not installed; install it, or leave {name} out"
                yield "train", _make_missing(loaded, ("train", "report_to", index), message, written=True)


def _find_missing_engine(loaded: LoadedRecipe) -> Iterator[tuple[str, MissingRequirement]]:
    """Find an engine that is not installed."""
    if loaded.recipe.engine and not _is_installed("ray"):
        message = "the package ray is not installed; pip install 'mmedpo[ray]', or leave the engine out"
        yield "data", _make_missing(loaded, ("engine",), message, written=True)


def _find_missing_bits(loaded: LoadedRecipe) -> Iterator[tuple[str, MissingRequirement]]:
    """Find out whether what a training is to do in few bits can be done."""
    train = loaded.recipe.train
    if train and (option := train.needs_bitsandbytes):
        asked = f"{option}: {getattr(train, option)}"
        if missing := explain_missing_package(asked):
            yield "train", MissingRequirement(f"{loaded.place(('train', option))}: train.{missing}", package=True)


def _find_missing_deepspeed(loaded: LoadedRecipe) -> Iterator[tuple[str, MissingRequirement]]:
    """Find out whether processes can share a model through DeepSpeed where they are to."""
    train = loaded.recipe.train
    if train and train.launch and train.launch.strategy == "deepspeed" and not _is_installed("deepspeed"):
        place = loaded.place(("train", "launch", "strategy"))
        message = f"{place}: train.launch.strategy: deepspeed is not installed: pip install deepspeed"
        yield "train", MissingRequirement(message, package=True)


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _find_blind_parts(loaded: LoadedRecipe) -> Iterator[tuple[str, MissingRequirement]]:
    """Find parts that change regions where nothing can give one."""
    recipe, asked = loaded.recipe, loaded.recipe.evaluate
    if all(localizer.takes_given for localizer in recipe.localize) and all(map(_has_no_regions, recipe.data)):
        cure = "name a localizer that finds them in 'localize:', or give the data boxes"
        yield from _require_regions(loaded, ("disprefer",), recipe.disprefer, recipe.data, cure)
    if asked and _has_no_regions(asked.data):
        cure = "leave it out, or give the data boxes"
        yield from _require_regions(loaded, ("evaluate", "probe"), asked.probe, [asked.data], cure)


def _require_regions(
    loaded: LoadedRecipe, keys: Keys, makers: Sequence[Dispreference], readers: Sequence[Reader], cure: str
) -> Iterator[tuple[str, MissingRequirement]]:
    names = " and ".join(repr(reader.use) for reader in readers)
    for index, maker in enumerate(makers):
        if maker.needs_region():
            why = f"{maker.use!r} changes a region of the image, and {names} reads none here"
            line = _make_missing(
                loaded, (*keys, index), f"{why}; {cure} (docs/explanation/localizing.md)", written=True
            )
            yield str(keys[0]), line


def _has_no_regions(reader: Reader) -> bool:
    """Tell whether a reader's cases have no region, as far as it can tell now."""
    return _can_tell(reader.has_regions) is False


def _find_too_many_images(loaded: LoadedRecipe) -> Iterator[tuple[str, MissingRequirement]]:
    """Find data with several images a case where the backbone is shown one."""
    recipe, asked = loaded.recipe, loaded.recipe.evaluate
    readers: dict[Keys, Reader] = {("data", index): reader for index, reader in enumerate(recipe.data)}
    readers |= {("evaluate", "data"): asked.data} if asked else {}
    several = [keys for keys, reader in readers.items() if _can_tell(reader.has_several_images)]
    if several and _can_tell(recipe.backbone.takes_several_images) is False:
        for keys in several:
            why = explain_one_image(recipe.backbone, f"{readers[keys].use!r} reads several images a case here")
            yield "backbone", _make_missing(loaded, keys, why, written=True)


def _can_tell(ask: Callable[[], bool | None]) -> bool | None:
    """Return what a part tells, None where it cannot: what is wrong with its files is told when they are read."""
    try:
        return ask()
    except Exception:
        return None


def explain_one_image(backbone: Backbone, found: str) -> str:
    """Say that data have several images a case, and that the backbone is shown one."""
    return (
        f"{found}, and the backbone {backbone.use!r} is shown one; read one view a case, "
        "or name a backbone that takes several, as hf-vlm with most families (docs/explanation/backbones.md)"
    )


def list_notes(loaded: LoadedRecipe) -> Iterator[str]:
    """Yield what is no mistake and may not be meant."""
    recipe = loaded.recipe
    if recipe.measures_alone:
        unread = "; 'data:' is not read" if recipe.data else ""
        yield f"without 'disprefer:' and 'train:' the model alone is measured{unread}"
    for named in find_paths(recipe):
        hub = named.needed and named.needed.or_hub and not named.needed.lacking(named.path)
        if hub and not os.path.exists(named.path):
            keys = ".".join(map(str, loaded.as_written(named.keys)))
            yield f"{keys}: there is no folder {named.path} here, so it is taken for a name on the Hugging Face Hub"
    wants_pairs = not recipe.measures_alone and not recipe.trains_on_cases
    if not recipe.disprefer and wants_pairs and recipe.reads("cases"):
        yield "'disprefer:' names nobody who makes pairs, so a run can go no further than `--until localize`"
    if recipe.localize and recipe.disprefer and not any(maker.needs_region() for maker in recipe.disprefer):
        yield "'localize:' finds regions that no dispreference here needs; they are written down and change no pair"
    if recipe.trains_on_cases:
        yield (
            "training is on every case that is read, once: pairs and their weights play no part in it; "
            "`train.cases: pairs` trains on the chosen sides of the pairs"
        )
    if needs := describe_needs(recipe):
        yield needs
    if recipe.backbone.answers and not recipe.backbone.answers.compare:
        yield "backbone.answers.compare is false: nobody looks whether the endpoint's model is the backbone"
