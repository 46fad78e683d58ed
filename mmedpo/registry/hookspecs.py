"""The hooks. Each takes no argument and returns classes, so that a new version of mmedpo can break no plugin.

    from mmedpo import Scorer, hookimpl

    @hookimpl
    def mmedpo_scorers() -> list[type[Scorer]]:
        return [MyScorer]

A plugin names itself in its pyproject.toml, one entry-point group per kind; the entry point's name is what a recipe
writes after `use:` and equals the class's `use`:

    [project.entry-points."mmedpo.scorers"]
    my-scorer = "my_package.my_module"
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from mmedpo.registry.contracts import (
        Backbone,
        Dispreference,
        Localizer,
        Metric,
        Observer,
        Reader,
        Scorer,
        Weighting,
    )

hookspec = pluggy.HookspecMarker("mmedpo")
hookimpl = pluggy.HookimplMarker("mmedpo")


@hookspec
def mmedpo_readers() -> list[type[Reader]]:  # type: ignore[empty-body]
    """Return the classes of this module that read a data set."""


@hookspec
def mmedpo_backbones() -> list[type[Backbone]]:  # type: ignore[empty-body]
    """Return the classes of this module that bring a medical vision-language model."""


@hookspec
def mmedpo_localizers() -> list[type[Localizer]]:  # type: ignore[empty-body]
    """Return the classes of this module that find lesions."""


@hookspec
def mmedpo_dispreferences() -> list[type[Dispreference]]:  # type: ignore[empty-body]
    """Return the classes of this module that make rejected sides."""


@hookspec
def mmedpo_scorers() -> list[type[Scorer]]:  # type: ignore[empty-body]
    """Return the classes of this module that rate clinical relevance."""


@hookspec
def mmedpo_weightings() -> list[type[Weighting]]:  # type: ignore[empty-body]
    """Return the classes of this module that turn relevances into weights."""


@hookspec
def mmedpo_metrics() -> list[type[Metric]]:  # type: ignore[empty-body]
    """Return the classes of this module that measure answers."""


@hookspec
def mmedpo_observers() -> list[type[Observer]]:  # type: ignore[empty-body]
    """Return the classes of this module that watch a run."""
