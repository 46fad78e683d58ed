"""Check what a loss returns, and blame it by name; it is called at every step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mmedpo.core.records import Pair, Side
from mmedpo.errors import MmedpoError, PluginError
from mmedpo.registry.conformance.blame import is_out_of_memory
from mmedpo.registry.contracts.loss import Loss, LossBatch

if TYPE_CHECKING:
    from torch import Tensor


def compute_loss(loss: Loss, batch: LossBatch) -> Tensor:
    """Return the loss of each pair (pairs,). Raises PluginError for anything else, and for what it raises."""
    try:
        values: Any = loss.compute(batch)
    except Exception as error:
        if isinstance(error, MmedpoError) or is_out_of_memory(error):
            raise
        raise _blame(loss, f"failed: {type(error).__name__}: {error}") from error
    if getattr(values, "shape", None) != batch.weights.shape:
        said = f"a {type(values).__name__} of shape {tuple(getattr(values, 'shape', ()))}"
        raise _blame(loss, f"returned {said}, not a value for each of {len(batch.weights)} pairs")
    made: Tensor = values
    return made


def list_further_sides(loss: Loss, pairs: Sequence[Pair], seed: int) -> list[dict[str, Side]]:
    """Return the further sides of each pair. Raises PluginError where they are none."""
    try:
        named = list(loss.further_sides(pairs, seed))
    except MmedpoError:
        raise
    except Exception as error:
        raise _blame(loss, f"failed over the sides of pairs: {type(error).__name__}: {error}") from error
    if len(named) != len(pairs):
        raise _blame(loss, f"named the sides of {len(named)} pairs; there are {len(pairs)}")
    for sides in named:
        wrong = not isinstance(sides, Mapping) or not all(isinstance(side, Side) for side in sides.values())
        if wrong:
            raise _blame(loss, f"named {sides!r:.80} as sides of a pair, not a mapping of names to Side")
    return [{str(name): side for name, side in sides.items()} for sides in named]


def _blame(loss: Loss, message: str) -> PluginError:
    return PluginError(f"the loss {loss.use!r} of {type(loss).__module__} {message}")
