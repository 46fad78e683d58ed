"""How long to try an endpoint that fails: when to ask again, when to give up, and what the screen is told meanwhile."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmedpo.core.notes import print_note
from mmedpo.endpoints.http.outcome import NoAnswerError, TransientError
from mmedpo.endpoints.locality import host_of
from mmedpo.endpoints.rate_limit import RateLimiter
from mmedpo.errors import DataError

if TYPE_CHECKING:
    from mmedpo.endpoints.options import Endpoint

logger = logging.getLogger(__name__)


@dataclass
class RetryState:
    """What a request has been through."""

    began: float
    failed: float = 0.0  # when it failed last
    tries: int = 0  # that failed
    own: int = 0  # of these, which may be the request's own fault
    what: str = ""  # happened last

    def end(self) -> NoAnswerError:
        """Give the request up."""
        return NoAnswerError(f"the endpoint failed on it time and again, last with: {self.what}", passing=True)


class OutageNotice:
    """What the screen is told while an endpoint fails: a line after the first tries, then one every half minute."""

    every = 30.0  # seconds between two lines
    tries = 3  # that fail in a row before it is told, where the endpoint at least listens

    def __init__(self, url: str) -> None:
        """Take the endpoint's address."""
        self._host = host_of(url)
        self._failures, self._line, self._told = 0, "", float("-inf")
        self._known = False  # whether this outage has been told

    def over(self) -> None:
        """Note that the endpoint works."""
        self._failures, self._known = 0, False

    def failed(self, fault: TransientError, until: float) -> None:
        """Note a failure, and until when (by the monotonic clock) the endpoint is asked again."""
        self._failures += 1
        ends = time.strftime("%H:%M:%S", time.localtime(time.time() + max(0.0, until - time.monotonic())))
        self._line = f"{self._host}: {fault}; it is asked again until {ends}"
        self._known |= fault.deaf or self._failures >= self.tries or fault.wait >= self.every
        self._tell()

    async def sleep(self, seconds: float) -> None:
        """Wait, and go on telling."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            due = self._told + self.every - time.monotonic()
            await asyncio.sleep(min(left, due) if due > 0 else left)
            self._tell()

    def _tell(self) -> None:
        now = time.monotonic()
        if self._known and now - self._told >= self.every:
            self._told = now
            print_note(self._line)


class RetryPolicy:
    """What to do after a failed try, by what the endpoint does for others."""

    def __init__(
        self,
        endpoint: Endpoint,
        pace: RateLimiter,
        outage: OutageNotice,
        serves: Callable[[], Awaitable[bool]],
        first_pause: float,
    ) -> None:
        """Take the options, whom to keep silent, what finds out whether the endpoint is alive, and the first pause."""
        self._endpoint, self._pace, self._outage = endpoint, pace, outage
        self._serves, self._first_pause = serves, first_pause
        self._jitter = random.Random()  # of pauses, never of results
        self._alive_at = 0.0  # when the endpoint last answered anyone

    def alive(self) -> None:
        """Note that the endpoint answers."""
        self._alive_at = time.monotonic()
        self._outage.over()

    async def wait(self, fault: TransientError, trouble: RetryState) -> None:
        """Wait before the next try; give up on the question, or on the endpoint when it answers nobody."""
        self._blame(fault, trouble)
        alive = max(trouble.began, self._alive_at)
        if trouble.own >= self._endpoint.tries:
            raise trouble.end()
        silent = time.monotonic() - alive
        if silent + fault.wait > self._endpoint.patience:
            if trouble.tries >= self._endpoint.tries and await self._serves():
                raise trouble.end()
            raise DataError(
                f"{self._endpoint.base_url} has answered nobody for {silent:.0f} s ({fault}); "
                f"what is answered is kept, run the same command to go on"
            )
        logger.info("%s: try %d failed and is made again: %s", host_of(self._endpoint.base_url), trouble.tries, fault)
        self._outage.failed(fault, alive + self._endpoint.patience)
        if fault.wait:
            self._pace.be_silent(fault.wait)
        else:
            longest = min(30.0, self._first_pause * 2 ** min(trouble.tries - 1, 10))
            await self._outage.sleep(longest * self._jitter.uniform(0.5, 1.0))

    def _blame(self, fault: TransientError, trouble: RetryState) -> None:
        """Count a failure, and as the request's own when the endpoint has answered others since the last one."""
        trouble.tries += 1
        trouble.what = fault.what
        trouble.own += fault.own and self._alive_at > trouble.failed
        trouble.failed = time.monotonic()
