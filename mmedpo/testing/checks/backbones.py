"""Checks of how a backbone answers: each case its own answer, greedy or by its seed, cut where it must end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

from mmedpo.core.answers import was_cut
from mmedpo.core.records import Case
from mmedpo.registry.conformance.backbone import check_answers
from mmedpo.registry.contracts.backbone import Backbone, LiveBackbone
from mmedpo.testing.checks.batches import PartVerb, other_generators
from mmedpo.testing.checks.check import Check, SkippedCheck, Trial
from mmedpo.testing.tiny import tiny_cases

LONGEST = 6  # tokens of an answer here


class AnswerVerb(PartVerb):
    """Answer cases, greedily and by seeds."""

    word, noun = "answer", "case"

    def make_items(self, trial: Trial, cases: Sequence[Case]) -> list[tuple[Case, int]]:
        """Return the cases, each with a seed."""
        return [(case, number) for number, case in enumerate(trial.adopt(cases))]

    def ask(
        self, trial: Trial, live: Any, items: Sequence[tuple[Case, int]], backbone: LiveBackbone | None
    ) -> list[Any]:
        """Return of each case the greedy answer and a sampled one, and whether they were cut."""
        cases = [case for case, _ in items]
        greedy = check_answers(trial.plugin, cases, live.answer(cases, max_new_tokens=LONGEST))
        seeds = [seed for _, seed in items]
        drawn = live.answer(cases, max_new_tokens=LONGEST, temperature=1.0, seeds=seeds)
        sampled = check_answers(trial.plugin, cases, drawn)
        return [[*(str(one), was_cut(one))] for one in (*greedy, *sampled)] if not cases else _pair_up(greedy, sampled)


def _pair_up(greedy: Sequence[str], sampled: Sequence[str]) -> list[Any]:
    both = zip(greedy, sampled, strict=True)
    return [[str(one), was_cut(one), str(other), was_cut(other)] for one, other in both]


def require_live(trial: Trial) -> LiveBackbone:
    """Require what `open` yields to be an open backbone."""
    if not isinstance(live := trial.live(), LiveBackbone):
        raise trial.make_breach(f"open gave {type(live).__name__}, not a LiveBackbone")
    return live


def _check_live(trial: Trial) -> None:
    require_live(trial)


def _check_limit(trial: Trial) -> None:
    cases = tiny_cases(2)
    live = require_live(trial)
    short, long = (live.answer(cases, max_new_tokens=longest) for longest in (1, 4 * LONGEST))
    for case, one, other in zip(cases, short, long, strict=True):
        if str(one) != str(other) and not was_cut(one):
            told = f"said {str(one)!r:.40} of case {case.id!r} within one token and {str(other)!r:.40} within more"
            raise trial.make_breach(f"{told}; an answer that had to end at max_new_tokens is Answer(text, cut=True)")


def _check_seeds(trial: Trial) -> None:
    cases = tiny_cases(2)
    live, said = require_live(trial), []
    for seed in (1, 2):
        try:
            with other_generators(seed):
                said.append(list(live.answer(cases, max_new_tokens=LONGEST, temperature=1.0)))
        except ValueError:
            return
    one, other = said
    if one != other:
        cure = "refuse with a ValueError, or a run that is killed ends otherwise than one that is not"
        raise trial.make_breach(f"`answer` samples without seeds, as a global generator stands; {cure}")


def _check_several_images(trial: Trial) -> None:
    if not cast(Backbone, trial.part).takes_several_images():
        raise SkippedCheck("it says that it is shown one image")
    first, second = tiny_cases(2)
    case = replace(first, more_images=second.images)
    live = require_live(trial)
    check_answers(trial.plugin, [case], live.answer([case], max_new_tokens=LONGEST))
    count = len(live.encode(case.images, case.question, case.answer).vision)
    if count != len(case.images):
        raise trial.make_breach(f"`encode` gave vision of {count} images where {len(case.images)} are shown")


OPEN = Check("live", "opens to a `LiveBackbone`", _check_live)
ANSWER_CHECKS = [
    Check("the longest answer", "says of an answer that had to end at `max_new_tokens` that it was cut", _check_limit),
    Check("seeds", "`answer` samples by the seeds that it is given, and not without", _check_seeds),
    Check("several images", "takes a case of several images, where it says so", _check_several_images),
]
