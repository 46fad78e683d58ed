"""The dispreference that lets a large model pick or write the wrong answer (paper, section 3.1)."""

from __future__ import annotations

from mmedpo import Dispreference, hookimpl
from mmedpo_plugins.dispreferences.gpt4o_hallucination.gpt4o_hallucination import Gpt4oHallucination


@hookimpl
def mmedpo_dispreferences() -> list[type[Dispreference]]:
    return [Gpt4oHallucination]
