"""Checks of a part of any kind: its class, its options, how it is carried about and opened."""

from __future__ import annotations

import pickle

from mmedpo.errors import DataError, RecipeError
from mmedpo.registry.classes.class_check import check_class
from mmedpo.registry.making import check_made, list_lacking
from mmedpo.testing.checks.check import Check, SkippedCheck, Trial


def _check_class(trial: Trial) -> None:
    check_class(trial.plugin, type(trial.part))


def _check_answers(trial: Trial) -> None:
    check_made(trial.plugin, trial.part)


def _check_pickling(trial: Trial) -> None:
    if pickle.loads(pickle.dumps(trial.part)) != trial.part:
        raise trial.make_breach("changes when it is pickled; keep options only in its fields")


def _check_descriptions(trial: Trial) -> None:
    cls = type(trial.part)
    if not (cls.__doc__ or "").strip():
        raise trial.make_breach("has no docstring; `plugins show` says of it what stands there")
    silent = [name for name, option in cls.model_fields.items() if not (option.description or "").strip()]
    if silent:
        several = ", ".join(f"`{name}`" for name in silent)
        raise trial.make_breach(f"does not describe {several}; put a text in quotation marks under each option")


def _check_needs(trial: Trial) -> None:
    if lacks := list_lacking(trial.plugin, trial.part):
        raise SkippedCheck("; ".join(lacks))


def _check_opening(trial: Trial) -> None:
    try:
        for _ in range(2):
            with trial.open():
                pass
    except (DataError, RecipeError) as error:
        raise SkippedCheck(str(error)) from error


CLASS_CHECKS = [
    Check("class", "its class says what its contract asks, and has methods that a run can call", _check_class),
    Check("answers", "answers what a recipe is checked by, with these options", _check_answers),
    Check("pickling", "comes back from a pickle as it was", _check_pickling),
]
OPENING_CHECKS = [
    Check("needs", "has on this machine what it needs", _check_needs),
    Check("opening", "opens and closes, and again", _check_opening),
]
LAST_CHECKS = [
    Check("descriptions", "says what it does and what each of its options is for", _check_descriptions),
]
