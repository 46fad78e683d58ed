"""The reader of SLAKE: radiology questions in English and Chinese, with boxes and masks."""

from __future__ import annotations

from mmedpo import Reader, hookimpl
from mmedpo_plugins.readers.slake.slake import SlakeReader


@hookimpl
def mmedpo_readers() -> list[type[Reader]]:
    return [SlakeReader]
