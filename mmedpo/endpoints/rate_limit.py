"""Keep to an endpoint's limits: so many requests and tokens a minute, and silence while it asks for it."""

from __future__ import annotations

import asyncio
import time


class TokenBucket:
    """So much a minute, saved up for at most two seconds, so that requests are spread and not sent in bursts."""

    def __init__(self, per_minute: float | None) -> None:
        """Start full; None allows everything."""
        self._rate = per_minute / 60 if per_minute else 0.0
        self._most = max(1.0, 2 * self._rate)
        self._level, self._at = self._most, time.monotonic()

    def seconds_until(self, cost: float) -> float:
        """Return the seconds until a cost can be paid. One that is more than can be saved runs into debt."""
        if not self._rate:
            return 0.0
        self._fill()
        return max(0.0, (min(cost, self._most) - self._level) / self._rate)

    def pay(self, cost: float) -> None:
        """Take a cost off; a negative one is paid back."""
        if self._rate:
            self._fill()
            self._level = min(self._most, self._level - cost)

    def _fill(self) -> None:
        now = time.monotonic()
        self._level = min(self._most, self._level + (now - self._at) * self._rate)
        self._at = now


class RateLimiter:
    """When the next request may be sent."""

    def __init__(self, requests: float | None, tokens: float | None) -> None:
        """Take the requests and tokens allowed a minute; None is no limit."""
        self._requests, self._tokens = TokenBucket(requests), TokenBucket(tokens)
        self._silent_until = 0.0

    async def acquire(self, tokens: float) -> None:
        """Wait until a request of so many tokens may be sent, and count it."""
        while (seconds := self._seconds_until(tokens)) > 0:
            await asyncio.sleep(seconds)
        self._requests.pay(1)
        self._tokens.pay(tokens)

    def correct_cost(self, expected: float, used: float) -> None:
        """Pay back what a request was expected to take and did not, or take what it took more."""
        self._tokens.pay(used - expected)

    def pause(self, seconds: float) -> None:
        """Send nothing for so long: the endpoint asked for it."""
        self._silent_until = max(self._silent_until, time.monotonic() + seconds)

    def _seconds_until(self, tokens: float) -> float:
        return max(
            self._silent_until - time.monotonic(),
            self._requests.seconds_until(1),
            self._tokens.seconds_until(tokens),
        )
