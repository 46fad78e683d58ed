"""A clock that goes on only where somebody sleeps: what a module waits for is counted, and nobody waits."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace

import pytest


class Clock:
    """Time as some modules see it."""

    def __init__(self) -> None:
        """Start anywhere; nobody has slept yet."""
        self.now, self.slept = 1000.0, 0.0

    async def sleep(self, seconds: float) -> None:
        """Let time go on, and others have their turn."""
        self.now += max(seconds, 1e-6)  # no sleep is so short that a real clock stands still
        self.slept += seconds
        await asyncio.sleep(0)

    def rule(self, monkeypatch: pytest.MonkeyPatch, *modules: str) -> None:
        """Be the clock of these modules."""
        for module in modules:
            monkeypatch.setattr(f"{module}.time", SimpleNamespace(**vars(time) | {"monotonic": lambda: self.now}))
            monkeypatch.setattr(f"{module}.asyncio", SimpleNamespace(**vars(asyncio) | {"sleep": self.sleep}))
