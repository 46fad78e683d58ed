"""Checks of localizers, dispreferences and scorers: what they make of a batch of cases or pairs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from mmedpo.core.records import Case, Drop, Pair, PairKind, to_json
from mmedpo.core.usage import Usage
from mmedpo.registry.conformance.dispreference import check_pairs
from mmedpo.registry.conformance.localizer import check_regions
from mmedpo.registry.conformance.scorer import check_scores
from mmedpo.registry.conformance.values import check_json, check_length
from mmedpo.registry.contracts.backbone import LiveBackbone
from mmedpo.registry.contracts.dispreference import Dispreference
from mmedpo.registry.contracts.localizer import Localizer
from mmedpo.registry.contracts.scorer import Scorer
from mmedpo.testing.checks.batches import PartVerb
from mmedpo.testing.checks.check import Check, Trial
from mmedpo.testing.tiny import make_pair, tiny_cases, tiny_pairs


class LocalizeVerb(PartVerb):
    """Find the regions of cases."""

    word, noun = "localize", "case"

    def make_items(self, trial: Trial, cases: Sequence[Case]) -> list[Case]:
        """Return the cases."""
        return trial.adopt(cases)

    def ask(self, trial: Trial, live: Any, items: Sequence[Case], backbone: LiveBackbone | None) -> list[Any]:
        """Return the regions of each case."""
        check_length(trial.plugin, "sources", cast(Localizer, trial.part).sources(items), len(items))
        answers = live.localize(items, backbone)
        check_length(trial.plugin, "localize", answers, len(items))
        both = zip(items, answers, strict=True)
        return [to_json(check_regions(trial.plugin, case, regions)) for case, regions in both]


class DispreferVerb(PartVerb):
    """Make pairs of cases."""

    word, noun = "disprefer", "case"
    independent = False  # it may borrow from the others of its slice

    def make_items(self, trial: Trial, cases: Sequence[Case]) -> list[tuple[Case, Pair]]:
        """Return the cases, each with a pair that an earlier dispreference made."""
        return [(pair.case, pair) for pair in trial.adopt([make_pair(case, "text") for case in cases])]

    def ask(
        self, trial: Trial, live: Any, items: Sequence[tuple[Case, Pair]], backbone: LiveBackbone | None
    ) -> list[Any]:
        """Return the pairs or the drop of each case."""
        cases, part = [case for case, _ in items], cast(Dispreference, trial.part)
        made: dict[str, list[Any]] = {case.id: [] for case in cases}
        for item in check_pairs(
            trial.plugin, part, live.disprefer(cases, backbone, [[pair] for _, pair in items]), cases
        ):
            made[item.case_id if isinstance(item, Drop) else item.case.id].append(to_json(item))
        return list(made.values())


class ScoreVerb(PartVerb):
    """Rate pairs, of all kinds that the scorer rates."""

    word, noun = "score", "pair"

    def make_items(self, trial: Trial, cases: Sequence[Case]) -> list[Pair]:
        """Return a pair of each kind for each case."""
        kinds: list[PairKind] = sorted(cast(Scorer, trial.part).rates)
        return trial.adopt([make_pair(case, kind) for case in cases for kind in kinds])

    def ask(self, trial: Trial, live: Any, items: Sequence[Pair], backbone: LiveBackbone | None) -> list[Any]:
        """Return the score of each pair."""
        return [to_json(score) for score in check_scores(trial.plugin, items, live.score(items))]


def _check_summary(trial: Trial) -> None:
    part = cast(Scorer, trial.part)
    for kind in sorted(part.rates):
        pairs = tiny_pairs(kind)
        scores = check_scores(trial.plugin, pairs, trial.live().score(pairs))
        check_json(trial.plugin, "summary", part.summary(pairs, scores))
        check_json(trial.plugin, "summary", part.summary([], []))


def _check_usage(trial: Trial) -> None:
    """Require what a run counts calls by, of some items and of none."""
    part, cases = trial.part, tiny_cases(2)
    items: Sequence[Any] = [
        make_pair(case, kind) for case in cases for kind in sorted(getattr(part, "rates", ()))
    ] or cases
    for some in (trial.adopt(items), []):
        for model, usage in part.estimate_usage(some):
            if not (isinstance(usage, Usage) and isinstance(model.model, str) and isinstance(model.base_url, str)):
                told = f"`estimate_usage` gave {type(usage).__name__} for {type(model).__name__}"
                raise trial.make_breach(f"{told}, not a mmedpo.Usage for a model with `model` and `base_url`")


USAGE = Check("usage", "`estimate_usage` says what its calls can take at most, if it makes any", _check_usage)
SUMMARY = Check("summary", "`summary` gives JSON of the scores of a whole set, and of none", _check_summary)
