"""Check what a loss returns, and blame it by name; it is called at every step."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mmedpo.core import json_values
from mmedpo.core.records import Pair, Side
from mmedpo.errors import MmedpoError, PluginError
from mmedpo.registry.conformance.blame import is_out_of_memory, make_plugin_error
from mmedpo.registry.contracts.loss import Loss, LossBatch, TokenPair
from mmedpo.registry.contracts.setting import Setting
from mmedpo.registry.discovery import find_plugin
from mmedpo.registry.failure import describe_failure

if TYPE_CHECKING:
    from torch import Tensor


def compute_loss(loss: Loss, batch: LossBatch) -> Tensor:
    """Return the loss of each pair (pairs,). Raises PluginError for anything else, and for what it raises."""
    try:
        values: Any = loss.compute(batch)
    except (Exception, SystemExit) as error:
        if isinstance(error, MmedpoError) or is_out_of_memory(error):
            raise
        raise _blame_failure(loss, "compute", error) from error
    if not hasattr(values, "requires_grad") or values.shape != batch.weights.shape:
        shape = f" of shape {tuple(values.shape)}" if hasattr(values, "shape") else ""
        said = f"{type(values).__name__}{shape}"
        raise _blame(loss, f"compute returned {said}, not a tensor with a value for each of {len(batch.weights)} pairs")
    made: Tensor = values
    if batch.chosen.policy.requires_grad and not made.requires_grad:  # beside another loss nobody would notice
        raise _blame(loss, "compute returned values without a gradient, so nothing would be learned from it")
    return made


def list_further_sides(loss: Loss, pairs: Sequence[Pair], seed: int) -> list[dict[str, Side]]:
    """Return the further sides of each pair. Raises PluginError where they are none."""
    try:
        named = list(loss.further_sides(pairs, seed))
    except MmedpoError:
        raise
    except (Exception, SystemExit) as error:
        raise _blame_failure(loss, "further_sides", error) from error
    if len(named) != len(pairs):
        raise _blame(loss, f"named the sides of {len(named)} pairs; there are {len(pairs)}")
    for pair, sides in zip(pairs, named, strict=True):
        wrong = not isinstance(sides, Mapping) or not all(isinstance(side, Side) for side in sides.values())
        if wrong:
            told = json_values.describe_value(sides)
            raise _blame(loss, f"named {told} as sides of a pair, not a mapping of names to Side")
        if taken := sides.keys() & {"chosen", "rejected"}:
            raise _blame(loss, f"named a further side {min(taken)!r}; a pair has one of that name")
        if others := [name for name in loss.own_tokens & set(sides) if sides[name].answer != pair.chosen.answer]:
            raise _blame(
                loss, f"says own_tokens of the side {others[0]!r}, which has another answer than the chosen one"
            )
    return [{str(name): side for name, side in sides.items()} for sides in named]


def list_token_ratings(
    loss: Loss, pairs: Sequence[Pair], answers: Sequence[TokenPair], setting: Setting
) -> list[tuple[list[float], list[float]]]:
    """Return the number that a loss gives each token. Raises PluginError where they are not as many, or none."""
    try:
        rated = list(loss.rate_tokens(pairs, answers, setting))
        made = [(list(map(float, chosen)), list(map(float, rejected))) for chosen, rejected in rated]
    except (Exception, SystemExit) as error:
        if isinstance(error, MmedpoError) or is_out_of_memory(error):
            raise
        raise _blame_failure(loss, "rate_tokens", error) from error
    if len(made) != len(pairs):
        raise _blame(loss, f"rated the tokens of {len(made)} pairs; there are {len(pairs)}")
    for pair, ratings, pieces in zip(pairs, made, answers, strict=True):
        if [len(numbers) for numbers in ratings] != [len(texts) for texts in pieces]:
            raise _blame(loss, f"did not rate each token of pair {pair.id!r} once")
        if not all(math.isfinite(number) for numbers in ratings for number in numbers):
            raise _blame(loss, f"gave a token of pair {pair.id!r} a number that is not finite")
    return made


def _blame(loss: Loss, message: str) -> PluginError:
    return make_plugin_error(find_plugin(loss), message)


def _blame_failure(loss: Loss, verb: str, error: BaseException) -> PluginError:
    plugin = find_plugin(loss)
    return PluginError(f"{plugin}: {verb} failed: {describe_failure(plugin, error)}")
