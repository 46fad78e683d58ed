"""Check the pairs and drops that a dispreference makes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from mmedpo.core import json_values
from mmedpo.core.records import Case, Drop, Pair, Side
from mmedpo.registry.conformance.blame import make_plugin_error
from mmedpo.registry.conformance.records import check_drop, check_pair_fields, check_sides
from mmedpo.registry.contracts.dispreference import Dispreference
from mmedpo.registry.plugin_info import PluginInfo


def check_pairs(
    plugin: PluginInfo,
    part: Dispreference,
    items: Any,
    cases: Sequence[Case],
    adopt: Callable[[Pair], Pair] = lambda pair: pair,
) -> Iterator[Pair | Drop]:
    """Require of each case pairs of the kind that the part makes, as many as it says at most, or one drop.

    `adopt` gives a pair's pictures their hashes and returns the pair as the run has it.
    """
    given, pairs, dropped = {case.id: case for case in cases}, Counter[str](), set[str]()
    for item in _each(plugin, items):
        made = _made(plugin, part, item, given, adopt)
        name = made.case.id if isinstance(made, Pair) else made.case_id
        if name in dropped or (isinstance(made, Drop) and name in pairs):
            raise make_plugin_error(plugin, f"disprefer yielded a drop of case {name!r} and more beside it")
        if isinstance(made, Drop):
            dropped.add(name)
        else:
            pairs[name] += 1
        if pairs[name] > part.pairs_a_case:
            says = f"it says pairs_a_case = {part.pairs_a_case}, by which costs are counted"
            raise make_plugin_error(plugin, f"disprefer yielded {pairs[name]} pairs of case {name!r}; {says}")
        yield made
    if lost := [name for name in given if not pairs[name] and name not in dropped]:
        some = f"{len(lost)} of {len(given)} cases, the first is {lost[0]!r}"
        raise make_plugin_error(plugin, f"disprefer yielded neither a pair nor a Drop with its reason for {some}")


def _each(plugin: PluginInfo, items: Any) -> Iterable[Any]:
    if not isinstance(items, Iterable) or isinstance(items, str | Mapping):
        raise make_plugin_error(plugin, f"disprefer returned {type(items).__name__}, not pairs and drops")
    return items


def _made(
    plugin: PluginInfo, part: Dispreference, item: Any, given: Mapping[str, Case], adopt: Callable[[Pair], Pair]
) -> Pair | Drop:
    if not isinstance(item, Pair | Drop):
        raise make_plugin_error(plugin, f"disprefer yielded {type(item).__name__}, not Pair or Drop")
    made = check_pair_fields(plugin, item) if isinstance(item, Pair) else check_drop(plugin, item)
    name = made.case.id if isinstance(made, Pair) else made.case_id
    if name not in given:
        raise make_plugin_error(
            plugin, f"disprefer yielded case {json_values.describe_value(name)}, which it was not given"
        )
    if isinstance(made, Drop):
        return made
    if made.case != given[name]:
        raise make_plugin_error(
            plugin, f"pair of case {name!r} has another case than it was given; pass it on as it is"
        )
    if made.kind != part.makes:
        raise make_plugin_error(
            plugin, f"pair of case {name!r} is of kind {made.kind!r}; the part makes {part.makes!r}"
        )
    pair = adopt(made)
    check_sides(plugin, pair)
    _check_films(plugin, pair, given.values())
    return pair


def _check_films(plugin: PluginInfo, pair: Pair, cases: Iterable[Case]) -> None:
    """Require that what is preferred is of this case, and that a text pair changes the answer alone."""
    own, chosen, rejected = (_hashes(shown) for shown in (pair.case, pair.chosen, pair.rejected))
    if chosen != own and set(chosen) - set(own) & {image for case in cases for image in _hashes(case)}:
        raise make_plugin_error(
            plugin, f"pair of case {pair.case.id!r} has the film of another case on its chosen side"
        )
    if pair.kind == "text" and rejected != chosen:
        raise make_plugin_error(plugin, f"pair of case {pair.case.id!r} is a text pair with two images")
    if not len(own) == len(chosen) == len(rejected):
        counts = f"{len(own)} images, and its pair {len(chosen)} on the chosen and {len(rejected)} on the rejected side"
        raise make_plugin_error(plugin, f"case {pair.case.id!r} has {counts}; case.side(answer) shows all of them")


def _hashes(shown: Case | Side) -> list[str]:
    return [image.sha256 for image in shown.images]
