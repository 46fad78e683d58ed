"""The readers of ready preference pairs: in the forms that training tools load, and as MMedPO released its own."""

from __future__ import annotations

from mmedpo import Reader, hookimpl
from mmedpo_plugins.readers.pairs.mmedpo_json import MmedpoJsonReader
from mmedpo_plugins.readers.pairs.pairs import PairsReader


@hookimpl
def mmedpo_readers() -> list[type[Reader]]:
    return [PairsReader, MmedpoJsonReader]
