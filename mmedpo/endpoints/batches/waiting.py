"""What waits for a batch: work that is given up until its answers are there, and the exchange that brings them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from mmedpo.errors import PendingBatch


class BatchClient(Protocol):
    """What asks through batches: a `ChatClient` whose endpoint says `batch`."""

    def exchange(self) -> None:
        """Submit a batch of what waits, and take in what is answered. Raises PendingBatch when that is nothing."""
        ...


class BatchWait(BaseException):
    """Not an error, so that no part mistakes it for one: an answer is not there yet."""

    def __init__(self, chats: Sequence[BatchClient], made: Mapping[int, Any] | None = None) -> None:
        """Take whom to exchange batches with, and what of `ChatClient.each` is done, by the item's number."""
        super().__init__("waiting for a batch")
        self.chats, self.made = tuple(chats), made or {}


def exchange_batches(waits: Sequence[BatchWait]) -> None:
    """Exchange batches with everyone who is waited for. Raises PendingBatch when none has anything new."""
    chats = {id(chat): chat for wait in waits for chat in wait.chats}
    pending: list[PendingBatch] = []
    for chat in chats.values():
        try:
            chat.exchange()
        except PendingBatch as error:
            pending.append(error)
    if len(pending) == len(chats):
        raise PendingBatch(*(line for error in pending for line in error.told))
