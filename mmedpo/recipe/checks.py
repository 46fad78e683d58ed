"""What a recipe says that is right word by word and wrong together, and what it names that no run would use."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mmedpo.core.json_values import Keys
from mmedpo.data.case_split import CaseSplit
from mmedpo.endpoints.options import find_endpoints, hides_endpoint
from mmedpo.recipe.model import LoadedRecipe, Recipe
from mmedpo.registry.contracts.part import Part
from mmedpo.registry.contracts.reader import Reader
from mmedpo.registry.contracts.served_model import ServedAnswers
from mmedpo.registry.path_options import find_paths, find_unfilled

Mistakes = Iterator[tuple[Keys, str]]


def find_contradictions(loaded: LoadedRecipe) -> Mistakes:
    """Find keys that are right alone and wrong together."""
    recipe = loaded.recipe
    for named in find_paths(recipe):
        if wrong := find_unfilled(named.path):
            yield named.keys, wrong
    if recipe.engine and ":" in recipe.device:
        yield ("device",), f"{recipe.device}: a worker of the engine has GPUs of its own; write cuda"
    if not recipe.data and not recipe.measures_alone:
        yield (), "'data' is missing"
    if recipe.train and recipe.evaluate and recipe.evaluate.adapter:
        why = "what is measured after training is the adapter that 'train:' makes; leave one of them out"
        yield ("evaluate", "adapter"), why
    yield from _find_hidden_confidence(recipe)
    yield from _find_torn_splits(recipe)
    yield from _find_unpriced(recipe)
    yield from _find_untaught(recipe)
    yield from _find_readers_of_pairs(loaded)
    for index, probe in enumerate(recipe.evaluate.probe if recipe.evaluate else []):
        if probe.makes != "image" or probe.needs_backbone:
            yield ("evaluate", "probe", index), f"{probe.use!r} makes {probe.makes} pairs; a probe changes the image"
    yield from _find_misrated(recipe)
    yield from _find_without_earlier(recipe)
    yield from _find_broken_rounds(recipe)
    yield from _find_pairless(recipe)


def _find_hidden_confidence(recipe: Recipe) -> Mistakes:
    """Find confidence that is asked of an endpoint, which answers in words."""
    asked, served = recipe.evaluate, recipe.backbone.answers
    trains = recipe.train is not None or (asked is not None and asked.adapter is not None)
    if asked and asked.confidence and served and (served.trained or not trains):
        why = "an endpoint gives the answers that are measured, and does not tell how likely it finds yes"
        yield ("evaluate", "confidence"), f"{why}; leave it out, or leave out {'trained' if trains else 'answers'!r}"


def _find_torn_splits(recipe: Recipe) -> Mistakes:
    """Find data that are split, and measured on by another split or by none."""
    asked = recipe.evaluate.data if recipe.evaluate else None
    for index, reader in enumerate(recipe.data if asked else ()):
        pair = (reader, asked)
        split = any(isinstance(getattr(one, "split", None), CaseSplit) for one in pair)
        if split and _without_split(reader) == _without_split(asked) and asked != reader.held_out():
            why = f"reads what data.{index} reads, and is not what that holds out: cases may be on both sides"
            yield ("evaluate", "data"), f"{why}; leave it out, and the split of 'data:' counts"


def _without_split(reader: Reader | None) -> Reader | None:
    return reader and reader.model_copy(update={"split": None})


def _find_unpriced(recipe: Recipe) -> Mistakes:
    if recipe.budget is None or recipe.budget.money is None:
        return
    called = _list_called([*recipe.disprefer, *recipe.score, recipe.backbone])
    for model in sorted(called - recipe.budget.prices.keys()):
        yield ("budget",), f"budget.money needs a price for {model!r}: prices: {{{model}: {{input: .., output: ..}}}}"


def _list_called(parts: Iterable[Part]) -> set[str]:
    """Return the models that parts may call, by their endpoints' names for them."""
    called = [endpoint for part in parts for endpoint in find_endpoints(part)]
    trained = {endpoint.trained for endpoint in called if isinstance(endpoint, ServedAnswers) and endpoint.trained}
    return {endpoint.model for endpoint in called} | trained


def _find_untaught(recipe: Recipe) -> Mistakes:
    """Find a localizer that has learned nothing yet, and nothing to learn from."""
    learning = [part for part in recipe.localize if part.learnt]
    for index, part in enumerate(recipe.localize):
        if part.learnt and not part.learnt.exists() and recipe.detector is None:
            message = f"{part.learnt}: there is no such file; say in 'detector:' what {part.use!r} learns from"
            yield ("localize", index, "checkpoint"), message
    if recipe.detector and len(learning) != 1:
        yield ("detector",), f"'detector:' wants one localizer that learns; 'localize:' has {len(learning)}"


def _find_readers_of_pairs(loaded: LoadedRecipe) -> Mistakes:
    """Find readers of pairs where cases are wanted."""
    for path, part in loaded.parts():
        if path[0] != "data" and getattr(part, "yields", "cases") == "pairs":
            yield path, f"{part.use!r} reads ready pairs; {path[0]!r} needs cases"


def _find_misrated(recipe: Recipe) -> Mistakes:
    rater: dict[str, str] = {}
    for index, scorer in enumerate(recipe.score):
        for kind in sorted(scorer.rates):
            if kind in rater:
                yield ("score", index), f"{kind} pairs are already rated by {rater[kind]!r}; one scorer a pair kind"
            rater[kind] = scorer.use
    for index, maker in enumerate(recipe.disprefer):
        if maker.makes not in rater and recipe.unrated == "drop":
            message = (
                f"nobody rates the {maker.makes} pairs of {maker.use!r}; add a scorer, or 'unrated: keep' (weight 1)"
            )
            yield ("disprefer", index), message


def _find_without_earlier(recipe: Recipe) -> Mistakes:
    """Find a dispreference that builds on pairs which none before it makes."""
    for index, maker in enumerate(recipe.disprefer):
        wanted = "" if recipe.reads("pairs") else maker.follows()  # ready pairs may be of any kind
        if wanted and not any(earlier.makes == wanted for earlier in recipe.disprefer[:index]):
            message = f"{maker.use!r} builds on {wanted} pairs; put a dispreference that makes them before it"
            yield ("disprefer", index), message


def _find_broken_rounds(recipe: Recipe) -> Mistakes:
    """Find rounds that cannot go on from each other."""
    if recipe.rounds is None:
        return
    if recipe.train is None:
        yield ("rounds",), "a round begins with the model that the one before it trained; say in 'train:' how to train"
    if not recipe.disprefer and not recipe.reads("cases"):
        why = "no round makes ready pairs anew; train.epochs repeats them"
        yield ("rounds",), f"'data:' are ready pairs, and {why}"
    if recipe.backbone.answers:
        why = "in every round an endpoint would answer for the model at the beginning of the first"
        yield ("backbone", "answers"), f"{why}; leave it out, or leave out 'rounds:'"


def _find_pairless(recipe: Recipe) -> Mistakes:
    """Find a training on cases whose loss wants pairs."""
    if recipe.train and recipe.train.cases == "all" and (why := recipe.train.needs_pairs):
        yield ("train", "cases"), f"the loss {why}, and `all` trains on cases alone; leave it out"


def list_idle(recipe: Recipe) -> list[str]:
    """Return the sections that have nothing to do where the data are ready pairs and nobody makes more of them."""
    return [] if recipe.disprefer else [key for key in ("localize", "detector") if getattr(recipe, key)]


def find_unused(loaded: LoadedRecipe) -> Mistakes:
    """Find what a run would not use, whatever the data hold."""
    recipe = loaded.recipe
    if recipe.measures_alone or (recipe.trains_on_cases and not recipe.has_pairs):
        yield from _find_idle_without_pairs(loaded)
    elif not recipe.reads("cases"):
        for key in list_idle(recipe):
            yield (key,), f"'data:' are ready pairs, and nobody in 'disprefer:' makes more of them; leave {key!r} out"
    elif recipe.disprefer and not recipe.reads("pairs"):
        made = {maker.makes for maker in recipe.disprefer}
        for index, scorer in enumerate(recipe.score):
            if not scorer.rates & made:
                rates = " and ".join(sorted(scorer.rates))
                yield ("score", index), f"{scorer.use!r} rates {rates} pairs, and none is made; leave it out"
        for index, loss in enumerate(recipe.train.loss if recipe.train else ()):
            if loss.pairs not in ("all", *made):
                yield ("train", "loss", index), f"{loss.use!r} is of {loss.pairs} pairs, and none is made; leave it out"
    if recipe.localized == "agreed" and len(recipe.localize) < 2:
        yield ("localized",), f"'agreed' is about several localizers; 'localize:' has {len(recipe.localize)}"
    yield from _find_idle_rounds(recipe)
    yield from _find_beside_cases(recipe)
    yield from _find_idle_answers(recipe)
    yield from _find_idle_budget(loaded)


def _find_idle_without_pairs(loaded: LoadedRecipe) -> Mistakes:
    """Find what is for pairs, where the model alone is measured or learns cases, and nobody makes any."""
    recipe = loaded.recipe
    does = "the model alone is measured" if recipe.measures_alone else "training learns the cases alone"
    for key in ("localize", "detector", "score", "unrated", "weigh"):
        if loaded.tree.values.get(key) is not None:
            yield (key,), f"without 'disprefer:' {does}; leave {key!r} out"
    if recipe.measures_alone and recipe.evaluate and recipe.evaluate.strict_split:
        yield ("evaluate", "strict_split"), "nothing is trained here that a split could be kept from; leave it out"


def _find_idle_rounds(recipe: Recipe) -> Mistakes:
    """Find rounds that would all make the same pairs, and a reference that no loss looks at."""
    asking = [part.needs_backbone for part in recipe.localize] + [part.needs_backbone for part in recipe.disprefer]
    if recipe.rounds and recipe.rounds.count > 1 and recipe.disprefer and not any(asking):
        yield ("rounds",), "no part asks the model for what it makes, so every round would make the same pairs"
    held = recipe.train and (recipe.train.needs_reference or recipe.train.runs_reference)
    if recipe.rounds and recipe.rounds.reference == "start" and recipe.train and not held:
        yield ("rounds", "reference"), "no loss of 'train.loss' compares the policy with a reference; leave it out"


def _find_beside_cases(recipe: Recipe) -> Mistakes:
    """Find what is said of pairs where training learns all cases and no pair."""
    if recipe.train is None or not recipe.trains_on_cases:
        return
    instead = "training is on all cases; leave it out, or say `train.cases: pairs`"
    if recipe.train.pairs != recipe.train.pairs.of_cases():
        yield ("train", "pairs"), f"no text or image pair is trained on: {instead}"
    if recipe.rounds and recipe.rounds.count > 1:
        yield ("rounds",), f"every round would train on the same cases, and train.epochs repeats them: {instead}"


def _find_idle_answers(recipe: Recipe) -> Mistakes:
    """Find an endpoint in the backbone's place that nobody would ask."""
    served = recipe.backbone.answers
    if served and served.trained and not (recipe.train and recipe.evaluate):
        yield (
            ("backbone", "answers", "trained"),
            "without 'train:' and 'evaluate:' no trained model is asked; leave it out",
        )
    sampled = any(maker.needs_backbone for maker in recipe.disprefer)
    measured = recipe.evaluate and ((served and served.trained) or not recipe.train)
    if served and not (sampled or measured):
        why = "no dispreference samples the backbone, and what is measured is answered here unless 'trained' is named"
        yield ("backbone", "answers"), f"nobody would ask it: {why}; leave it out"


def _find_idle_budget(loaded: LoadedRecipe) -> Mistakes:
    """Find a budget, or the price of a model, that nothing is paid from."""
    budget = loaded.recipe.budget
    parts = [part for _, part in loaded.parts()]
    if budget is None or any(hides_endpoint(part) for part in parts):
        return
    called = _list_called(parts)
    if not called:
        yield ("budget",), "no part of this recipe calls an endpoint, so nothing would be paid from it; leave it out"
    for model in sorted(budget.prices.keys() - called if called else ()):
        yield ("budget", "prices", model), f"no part calls {model!r}; those called: {', '.join(sorted(called))}"
