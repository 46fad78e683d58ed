"""Checks of a part of any kind: its class, its options, how it is carried about and opened."""

from __future__ import annotations

import inspect
import pickle
from typing import Any

from mmedpo.errors import DataError, RecipeError
from mmedpo.registry.classes.declarations import check_declarations
from mmedpo.registry.contracts.part import Part
from mmedpo.testing.checks.check import Check, SkippedCheck, Trial


def _check_class(trial: Trial) -> None:
    check_declarations(trial.plugin, type(trial.part))


def _check_verbs(trial: Trial) -> None:
    """Hold the signatures of methods that the contract has to what a run passes to them."""
    cls, contract = type(trial.part), trial.plugin.kind.contract
    for name, meant in inspect.getmembers(contract, inspect.isfunction):
        own = inspect.getattr_static(cls, name, None)
        if name.startswith("_") or hasattr(Part.__base__, name) or not inspect.isfunction(own):
            continue
        _require_call(trial, name, own, inspect.signature(meant))


def _require_call(trial: Trial, name: str, own: Any, meant: inspect.Signature) -> None:
    positional = [one for one in meant.parameters.values() if one.kind is one.POSITIONAL_OR_KEYWORD]
    named = {one.name: None for one in meant.parameters.values() if one.kind is one.KEYWORD_ONLY}
    try:
        inspect.signature(own).bind(*[None] * len(positional), **named)
    except TypeError as error:
        wants = f"{name}{meant}".replace("'", "")
        raise trial.make_breach(f"`{name}` cannot be called as a run calls it ({error}); write {wants}") from None


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
    if lacks := list(trial.part.lacking()):
        raise SkippedCheck("; ".join(lacks))


def _check_opening(trial: Trial) -> None:
    try:
        for _ in range(2):
            with trial.open():
                pass
    except (DataError, RecipeError) as error:
        raise SkippedCheck(str(error)) from error


CLASS_CHECKS = [
    Check("class", "its class says what the contract of its kind asks", _check_class),
    Check("signatures", "its methods can be called as a run calls them", _check_verbs),
    Check("pickling", "comes back from a pickle as it was", _check_pickling),
]
OPENING_CHECKS = [
    Check("needs", "has on this machine what it needs", _check_needs),
    Check("opening", "opens and closes, and again", _check_opening),
]
LAST_CHECKS = [
    Check("descriptions", "says what it does and what each of its options is for", _check_descriptions),
]
