"""Check a part against its contract, by using it as the pipeline does."""

from __future__ import annotations

import pickle
from dataclasses import replace
from functools import singledispatch
from importlib.metadata import EntryPoint

from mmedpo.core.records import Score
from mmedpo.registry.conformance.backbone import check_answers, check_encoding, check_places
from mmedpo.registry.conformance.blame import blame_part, make_plugin_error
from mmedpo.registry.conformance.dispreference import check_pairs
from mmedpo.registry.conformance.localizer import check_regions
from mmedpo.registry.conformance.loss import list_further_sides, list_token_ratings
from mmedpo.registry.conformance.metric import CheckedMetric
from mmedpo.registry.conformance.reader import DataSetCheck
from mmedpo.registry.conformance.records import check_record
from mmedpo.registry.conformance.scorer import check_scores
from mmedpo.registry.conformance.values import check_json, check_length
from mmedpo.registry.conformance.weighting import check_weights
from mmedpo.registry.contracts.backbone import Backbone, LiveBackbone
from mmedpo.registry.contracts.dispreference import Dispreference
from mmedpo.registry.contracts.localizer import Localizer
from mmedpo.registry.contracts.loss import Loss
from mmedpo.registry.contracts.metric import Metric
from mmedpo.registry.contracts.observer import Observer
from mmedpo.registry.contracts.part import Part
from mmedpo.registry.contracts.reader import Reader
from mmedpo.registry.contracts.scorer import Scorer
from mmedpo.registry.contracts.setting import Setting
from mmedpo.registry.contracts.weighting import Weighting
from mmedpo.registry.declarations import check_declarations
from mmedpo.registry.kinds import find_kind
from mmedpo.registry.plugin_info import PluginInfo
from mmedpo.testing.loss_check import split_words, try_loss
from mmedpo.testing.tiny import TinyBackbone, tiny_cases, tiny_pairs


def check_part(part: Part) -> None:
    """Use a part as the pipeline does, on tiny data, and check what comes back.

    Raises PluginError that names the breach. A reader is read, a localizer, dispreference, scorer, weighting or
    metric gets tiny cases or pairs, a loss gets made-up log-probabilities; a backbone is opened on the CPU, so give it
    a small checkpoint.
    """
    name = getattr(type(part), "use", "")
    plugin = PluginInfo(find_kind(type(part)), name or "?", "the plugin under test", "0", EntryPoint("", "", ""))
    if not name:
        raise make_plugin_error(plugin, f"{type(part).__name__} has no `use`")
    check_declarations(plugin, type(part))
    with blame_part(plugin, "the options"):
        same = pickle.loads(pickle.dumps(part)) == part
    if not same:
        raise make_plugin_error(plugin, "changes when it is pickled; keep options only in its fields")
    with blame_part(plugin, "the options"):
        _try_part(part, plugin)


@singledispatch
def _try_part(part: Part, plugin: PluginInfo) -> None:
    """Open and close a part; what else is asked of a kind is registered below, by its contract."""
    with part.open(Setting()):
        pass


@_try_part.register
def _try_reader(part: Reader, plugin: PluginInfo) -> None:
    check = DataSetCheck(plugin)
    for item in part.read():
        check.add(check_record(plugin, item))
    check.finish()


@_try_part.register
def _try_backbone(part: Backbone, plugin: PluginInfo) -> None:
    cases = tiny_cases()
    with part.open(Setting()) as live:
        if not isinstance(live, LiveBackbone):
            raise make_plugin_error(plugin, f"open gave {type(live).__name__}, not a LiveBackbone")
        check_answers(plugin, cases, live.answer(cases, max_new_tokens=4))
        seeds = list(range(len(cases)))
        check_answers(plugin, cases, live.answer(cases, max_new_tokens=4, temperature=1.0, seeds=seeds))
        check_encoding(live.encode(cases[0].images, cases[0].question, cases[0].answer))
        if (places := live.token_places(cases[0].image.load().size)) is not None:
            check_places(places)


@_try_part.register
def _try_localizer(part: Localizer, plugin: PluginInfo) -> None:
    cases = tiny_cases()
    with part.open(Setting()) as live:
        answers = live.localize(cases, TinyBackbone() if part.needs_backbone else None)
    check_length(plugin, "sources", part.sources(cases), len(cases))
    check_length(plugin, "localize", answers, len(cases))
    for case, regions in zip(cases, answers, strict=True):
        check_regions(plugin, case, regions)


@_try_part.register
def _try_dispreference(part: Dispreference, plugin: PluginInfo) -> None:
    cases = tiny_cases()
    earlier = [[pair] for pair in tiny_pairs("text")]
    with part.open(Setting()) as live:
        items = live.disprefer(cases, TinyBackbone() if part.needs_backbone else None, earlier)
        list(check_pairs(plugin, part, items, cases))


@_try_part.register
def _try_scorer(part: Scorer, plugin: PluginInfo) -> None:
    for kind in sorted(part.rates):
        pairs = tiny_pairs(kind)
        with part.open(Setting()) as live:
            scores = check_scores(plugin, pairs, live.score(pairs))
        check_json(plugin, "summary", part.summary(pairs, scores))


@_try_part.register
def _try_weighting(part: Weighting, plugin: PluginInfo) -> None:
    scores = [Score(relevance, scorer="tiny") for relevance in (0.0, 0.3, 0.3, 1.0)]
    for some in (scores, scores[3:], scores[::-1]):
        check_weights(plugin, part.weigh(some), len(some))


@_try_part.register
def _try_loss(part: Loss, plugin: PluginInfo) -> None:
    pairs = tiny_pairs("image" if part.pairs == "image" else "text")
    named = list_further_sides(part, pairs, 0)
    if part.rates_tokens:
        list_token_ratings(part, pairs, [split_words(pair) for pair in pairs], Setting())
    try_loss(plugin, part, sorted({name for sides in named for name in sides}))


@_try_part.register
def _try_metric(part: Metric, plugin: PluginInfo) -> None:
    cases = [*tiny_cases(), replace(tiny_cases(1)[0], id="tiny-report", kind="report")]
    metric = CheckedMetric(part, plugin)
    for answers in ([case.answer for case in cases], [""] * len(cases)):
        rows = metric.measure(cases, answers)
        for some in (rows, rows[:1] * 3, rows[1:], []):  # any resample
            measures = metric.combine(some)
            metric.check_additive(some)
            metric.cautions(measures, None)
            metric.cautions(measures, measures)


@_try_part.register
def _try_observer(part: Observer, plugin: PluginInfo) -> None:
    from mmedpo.events import StageStarted

    with part.open(Setting()) as live:
        live.see(StageStarted("read", 1))
