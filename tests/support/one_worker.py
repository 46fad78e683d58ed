"""Which tests pytest-xdist gives to which worker: a module that makes something for its tests makes it once.

The marks that xdist has for it change the names of tests, which pytest from 9.2 on does not allow any more.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from xdist.scheduler import LoadScopeScheduling

ROOT = Path(__file__).parents[2]


@cache
def shares(path: str) -> bool:
    """Tell whether the tests of a module share what it makes."""
    return 'scope="module"' in (ROOT / path).read_text()


class ModuleScheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Give a module whose tests share something to one worker, and all other tests to whoever has time."""

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        return path if shares(path) else nodeid
