"""Check a part against its contract, by using it as the pipeline does, and on the edge of what it may be given."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import closing
from functools import singledispatch

from mmedpo.errors import MmedpoError
from mmedpo.registry.conformance.blame import blame_part, make_plugin_error
from mmedpo.registry.contracts.backbone import Backbone
from mmedpo.registry.contracts.dispreference import Dispreference
from mmedpo.registry.contracts.localizer import Localizer
from mmedpo.registry.contracts.loss import Loss
from mmedpo.registry.contracts.metric import Metric
from mmedpo.registry.contracts.observer import Observer
from mmedpo.registry.contracts.part import Part
from mmedpo.registry.contracts.reader import Reader
from mmedpo.registry.contracts.scorer import Scorer
from mmedpo.registry.contracts.weighting import Weighting
from mmedpo.registry.discovery import find_plugin
from mmedpo.testing.checks.any_part import CLASS_CHECKS, LAST_CHECKS, OPENING_CHECKS
from mmedpo.testing.checks.backbones import ANSWER_CHECKS, OPEN, AnswerVerb
from mmedpo.testing.checks.batches import BatchChecks, PartVerb
from mmedpo.testing.checks.check import LOWER, Check, PartCheck, SkippedCheck, Trial
from mmedpo.testing.checks.kills import KILL
from mmedpo.testing.checks.losses import LOSS_CHECKS
from mmedpo.testing.checks.measures import OBSERVER_CHECKS, RESAMPLES, WEIGHTING_CHECKS, MeasureVerb
from mmedpo.testing.checks.networks import NETWORK_CHECKS
from mmedpo.testing.checks.pair_parts import SUMMARY, USAGE, DispreferVerb, LocalizeVerb, ScoreVerb
from mmedpo.testing.checks.readers import READER_CHECKS
from mmedpo.testing.checks.trouble import TroubleChecks


def check_part(part: Part) -> list[PartCheck]:
    """Use a part as the pipeline does, on tiny data and on odd ones, and return what was checked.

    Raises PluginError at the first breach: it names package and part, and says what to do. What cannot be tried here is
    in the list as skipped, with the reason. A backbone is opened on the CPU, so give it a small checkpoint.
    """
    made = []
    for one in examine_part(part):
        if one.error:
            raise one.error
        made.append(one)
    return made


def examine_part(part: Part, begin: Callable[[Check], None] = lambda check: None) -> Iterator[PartCheck]:
    """Try every check of a part and yield what came of each; `begin` is told of each before it is tried."""
    plugin = find_plugin(part)
    if not getattr(type(part), "use", ""):
        raise make_plugin_error(plugin, f"{type(part).__name__} has no `use`")
    with closing(Trial(part, plugin)) as trial:
        missing = ""
        for check in [*CLASS_CHECKS, *OPENING_CHECKS, *list_checks(part), *LAST_CHECKS]:
            begin(check)
            if missing and check not in LAST_CHECKS:
                yield PartCheck(check.name, check.says, "skipped", missing)
                continue
            made = _try_check(check, trial)
            if check in OPENING_CHECKS and made.outcome == "skipped":
                missing = made.told
            yield made


def find_unset(cls: type[Part], options: Collection[str]) -> list[str]:
    """Return the options that a part needs and that are not given."""
    return [name for name, option in cls.model_fields.items() if option.is_required() and name not in options]


def examine_class(cls: type[Part], why: str, begin: Callable[[Check], None]) -> Iterator[PartCheck]:
    """Try what can be tried of a part's class alone, and skip all that is left for that reason."""
    part = cls.model_construct()
    trial = Trial(part, find_plugin(part))
    for check in [*CLASS_CHECKS, *OPENING_CHECKS, *list_checks(part), *LAST_CHECKS]:
        begin(check)
        of_class = check in CLASS_CHECKS[:1] or check in LAST_CHECKS
        yield _try_check(check, trial) if of_class else PartCheck(check.name, check.says, "skipped", why)


def _try_check(check: Check, trial: Trial) -> PartCheck:
    try:
        with blame_part(trial.plugin, LOWER):
            check.run(trial)
    except SkippedCheck as error:
        return PartCheck(check.name, check.says, "skipped", str(error))
    except MmedpoError as error:
        return PartCheck(check.name, check.says, "broken", str(error), error)
    return PartCheck(check.name, check.says, "kept")


def list_batch_checks(verb: PartVerb) -> list[Check]:
    """List the checks of a part that is asked about a batch, with data, models or endpoints at hand."""
    return [*BatchChecks(verb).list(), *TroubleChecks(verb).list()]


@singledispatch
def list_checks(part: Part) -> list[Check]:
    """List the checks of a part's kind; a kind that is not known here has none of its own."""
    return []


@list_checks.register
def _(part: Reader) -> list[Check]:
    return READER_CHECKS


@list_checks.register
def _(part: Backbone) -> list[Check]:
    return [OPEN, *list_batch_checks(AnswerVerb()), *ANSWER_CHECKS, *NETWORK_CHECKS]


@list_checks.register
def _(part: Localizer) -> list[Check]:
    return [*list_batch_checks(LocalizeVerb()), KILL]


@list_checks.register
def _(part: Dispreference) -> list[Check]:
    return [*list_batch_checks(DispreferVerb()), KILL, USAGE]


@list_checks.register
def _(part: Scorer) -> list[Check]:
    return [*list_batch_checks(ScoreVerb()), KILL, USAGE, SUMMARY]


@list_checks.register
def _(part: Weighting) -> list[Check]:
    return WEIGHTING_CHECKS


@list_checks.register
def _(part: Loss) -> list[Check]:
    return LOSS_CHECKS


@list_checks.register
def _(part: Metric) -> list[Check]:
    return [*BatchChecks(MeasureVerb()).list(), RESAMPLES]


@list_checks.register
def _(part: Observer) -> list[Check]:
    return OBSERVER_CHECKS
