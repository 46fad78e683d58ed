"""Check the fields of records: cases, pairs, drops and remarks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

from mmedpo.core import json_values
from mmedpo.core.records import Case, CaseKind, Drop, Pair, PairKind, ReadRecord, Remark, Side
from mmedpo.registry.conformance.blame import make_plugin_error
from mmedpo.registry.conformance.localizer import check_regions
from mmedpo.registry.conformance.values import check_image, check_json, check_plain, check_share
from mmedpo.registry.plugin_info import PluginInfo


def check_record(plugin: PluginInfo, item: Any) -> ReadRecord:
    """Require a case, a pair, a drop or a remark whose fields are what they say."""
    if isinstance(item, Case):
        return check_case(plugin, item)
    if isinstance(item, Pair):
        return check_pair_fields(
            plugin, replace(item, case=check_case(plugin, item.case) if isinstance(item.case, Case) else item.case)
        )
    if isinstance(item, Drop):
        return check_drop(plugin, item)
    if isinstance(item, Remark):
        check_plain(
            plugin, f"remark on case {json_values.describe_value(item.case_id)}", json_values.require_text, item.text
        )
        return item
    raise make_plugin_error(plugin, f"read yielded {type(item).__name__}, not Case, Pair, Drop or Remark")


def check_case(plugin: PluginInfo, case: Case) -> Case:
    name = f"case {json_values.describe_value(case.id)}" if not isinstance(case.id, str) else f"case {case.id!r}"
    for field in ("id", "question", "answer", "group"):
        check_plain(plugin, f"{field} of {name}", json_values.require_text, getattr(case, field))
    if case.kind not in get_args(CaseKind):
        raise make_plugin_error(
            plugin,
            f"kind of {name} is {json_values.describe_value(case.kind)}, not one of {', '.join(get_args(CaseKind))}",
        )
    if not isinstance(case.restricted, bool):
        raise make_plugin_error(
            plugin, f"restricted of {name} is {json_values.describe_value(case.restricted)}, not True or False"
        )
    if not isinstance(case.about, list | tuple):
        raise make_plugin_error(
            plugin, f"about of {name} is {json_values.describe_value(case.about)}, not a tuple of texts"
        )
    about = tuple(check_plain(plugin, f"about of {name}", json_values.require_text, label) for label in case.about)
    check_images(plugin, name, case)
    regions = tuple(check_regions(plugin, case, case.regions, "read"))
    return replace(case, about=about, regions=regions, notes=check_json(plugin, f"notes of {name}", case.notes))


def check_images(plugin: PluginInfo, name: str, shown: Case | Side) -> None:
    """Require that what a case or a side shows are images, the further ones in a tuple."""
    if not isinstance(shown.more_images, tuple):
        told = json_values.describe_value(shown.more_images)
        raise make_plugin_error(plugin, f"more_images of {name} is {told}, not a tuple of images")
    for image in shown.images:
        check_image(plugin, f"image of {name}", image)


def check_drop(plugin: PluginInfo, drop: Drop) -> Drop:
    check_plain(plugin, "case_id of a drop", json_values.require_text, drop.case_id)
    check_plain(plugin, f"reason of the drop of case {drop.case_id!r}", json_values.require_text, drop.reason)
    return drop


def check_pair_fields(plugin: PluginInfo, pair: Pair) -> Pair:
    """Require the types of a pair's own fields; what its sides say is checked when its images are known."""
    if not isinstance(pair.case, Case):
        raise make_plugin_error(plugin, f"case of a pair is {json_values.describe_value(pair.case)}, not a Case")
    name = f"a pair of case {pair.case.id!r}"
    for which in ("chosen", "rejected"):
        side = getattr(pair, which)
        if not isinstance(side, Side):
            raise make_plugin_error(plugin, f"{which} side of {name} is {json_values.describe_value(side)}, not a Side")
        check_images(plugin, f"the {which} side of {name}", side)
        check_plain(plugin, f"{which} answer of {name}", json_values.require_text, side.answer)
    if pair.kind not in get_args(PairKind):
        raise make_plugin_error(plugin, f"kind of {name} is {json_values.describe_value(pair.kind)}, not text or image")
    if not isinstance(pair.number, int) or not isinstance(pair.made_by, str):
        raise make_plugin_error(
            plugin, f"number and made_by of {name} are {pair.number!r} and {pair.made_by!r}: a number, a text"
        )
    relevance = None if pair.relevance is None else check_share(plugin, f"relevance of {name}", pair.relevance)
    return replace(pair, relevance=relevance, notes=check_json(plugin, f"notes of {name}", pair.notes))


def check_sides(plugin: PluginInfo, pair: Pair) -> None:
    """Require two answers that are there and two sides that differ where their kind says."""
    for name, side in (("chosen", pair.chosen), ("rejected", pair.rejected)):
        if not side.answer.strip():
            raise make_plugin_error(plugin, f"pair {pair.id!r} has an empty {name} answer")
    chosen, rejected = ([image.sha256 for image in side.images] for side in (pair.chosen, pair.rejected))
    same_image = chosen == rejected
    same_answer = pair.chosen.answer.strip() == pair.rejected.answer.strip()
    if same_image and pair.kind == "image" and same_answer:
        raise make_plugin_error(plugin, f"pair {pair.id!r} is an image pair with an unchanged image")
