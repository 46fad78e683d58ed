"""How long to try an endpoint that fails: when to ask again, when to give up, and what the screen is told meanwhile."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmedpo.core.locality import parse_host
from mmedpo.core.notes import print_note
from mmedpo.endpoints.http.outcome import NoAnswerError, TransientError
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

    def give_up(self) -> NoAnswerError:
        """Return what ends the request."""
        return NoAnswerError(f"the endpoint failed on it time and again, last with: {self.what}", passing=True)


class OutageNotice:
    """What the screen is told while an endpoint fails: a line after the first tries, then one every half minute."""

    every = 30.0  # seconds between two lines
    tries = 3  # that fail in a row before it is told, where the endpoint at least listens

    def __init__(self, url: str) -> None:
        """Take the endpoint's address."""
        self._host = parse_host(url)
        self._failures, self._line, self._told = 0, "", float("-inf")
        self._known = False  # whether this outage has been told

    def note_success(self) -> None:
        """Note that the endpoint works."""
        self._failures, self._known = 0, False

    def note_failure(self, error: TransientError, until: float) -> None:
        """Note a failure, and until when (by the monotonic clock) the endpoint is asked again."""
        self._failures += 1
        ends = time.strftime("%H:%M:%S", time.localtime(time.time() + max(0.0, until - time.monotonic())))
        self._line = f"{self._host}: {error}; it is asked again until {ends}"
        self._known |= error.unheard or self._failures >= self.tries or error.retry_after >= self.every
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
        limiter: RateLimiter,
        notice: OutageNotice,
        is_serving: Callable[[], Awaitable[bool]],
        first_pause: float,
    ) -> None:
        """Take the options, whom to keep silent, what finds out whether the endpoint is alive, and the first pause."""
        self._endpoint, self._limiter, self._notice = endpoint, limiter, notice
        self._is_serving, self._first_pause = is_serving, first_pause
        self._jitter = random.Random()  # of pauses, never of results
        self._alive_at = 0.0  # when the endpoint last answered anyone

    def note_answer(self) -> None:
        """Note that the endpoint answers."""
        self._alive_at = time.monotonic()
        self._notice.note_success()

    async def pause_after(self, error: TransientError, state: RetryState) -> None:
        """Wait before the next try; give up on the question, or on the endpoint when it answers nobody."""
        self._count_failure(error, state)
        alive = max(state.began, self._alive_at)
        if state.own >= self._endpoint.tries:
            raise state.give_up()
        silent = time.monotonic() - alive
        if silent + error.retry_after > self._endpoint.patience:
            if state.tries >= self._endpoint.tries and await self._is_serving():
                raise state.give_up()
            raise DataError(
                f"{self._endpoint.base_url} has answered nobody for {silent:.0f} s ({error}); "
                f"what is answered is kept, run the same command to go on"
            )
        logger.info("%s: try %d failed and is made again: %s", parse_host(self._endpoint.base_url), state.tries, error)
        self._notice.note_failure(error, alive + self._endpoint.patience)
        if error.retry_after:
            self._limiter.pause(error.retry_after)
        else:
            longest = min(30.0, self._first_pause * 2 ** min(state.tries - 1, 10))
            await self._notice.sleep(longest * self._jitter.uniform(0.5, 1.0))

    def _count_failure(self, error: TransientError, state: RetryState) -> None:
        """Count a failure, and as the request's own when the endpoint has answered others since the last one."""
        state.tries += 1
        state.what = error.what
        state.own += error.own and self._alive_at > state.failed
        state.failed = time.monotonic()
