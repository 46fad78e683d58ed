"""The hooks, one a kind. Each takes no argument and returns classes, so that no new version of mmedpo breaks a plugin.

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

from collections.abc import Callable
from types import ModuleType

import pluggy

from mmedpo.registry.kinds import KINDS, Kind

hookspec = pluggy.HookspecMarker("mmedpo")
hookimpl = pluggy.HookimplMarker("mmedpo")


def make_hookspecs() -> ModuleType:
    """Return the hook of every kind, for `PluginManager.add_hookspecs`."""
    hooks = ModuleType("mmedpo_hooks")
    vars(hooks).update({kind.hook: make_hookspec(kind) for kind in KINDS.values()})
    return hooks


def make_hookspec(kind: Kind) -> Callable[[], object]:
    """Return the hook of a kind, with a docstring that tells a plugin's writer what to implement."""

    def spec() -> None: ...

    spec.__name__ = spec.__qualname__ = kind.hook
    spec.__doc__ = DOC.format(kind=kind, contract=kind.home.partition(":")[2])
    return hookspec(spec)


DOC = """Return the classes of this module that {kind.does}.

Called when a recipe or a `plugins` command names a part of the entry-point group ``{kind.group}`` in whose module
this hook is implemented; no other module is imported for it.

:returns:
    A list of subclasses of :class:`mmedpo.{contract}`. The one whose ``use`` is the entry point's name is taken;
    a recipe names it at ``{kind.key}``.
"""
