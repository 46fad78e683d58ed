"""What an endpoint says of a batch or a file, whatever it says: what is of another type than it should be is not there.

The SDK hands on what it got, checked by nobody.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mmedpo.endpoints.http.failure import fold_lines
from mmedpo.endpoints.http.outcome import TransientError

LATEST = 2**33  # seconds of the epoch; later is no time
MOST = 10**9  # of requests that a batch may say it has


@dataclass(frozen=True)
class BatchFacts:
    """A batch as it stands."""

    id: str
    status: str
    created_at: int  # seconds of the epoch; 0: not said, as below
    expires_at: int
    completed: int
    failed: int
    input_file_id: str
    output_file_id: str  # "" where there is none
    error_file_id: str
    errors: tuple[tuple[str, str], ...]  # codes and messages
    metadata: dict[str, Any]

    def require_whole(self) -> BatchFacts:
        """Return the batch. Raises TransientError where it has no name or no status."""
        return self if self.id and self.status else _refuse("a batch without an id or a status")


@dataclass(frozen=True)
class FileFacts:
    """A file that was sent there."""

    id: str
    status: str


def read_file(said: Any) -> FileFacts:
    """Return what is said of a file. Raises TransientError where it has no name."""
    return FileFacts(_text(said, "id") or _refuse("a file without an id"), _text(said, "status"))


def read_batch(said: Any) -> BatchFacts:
    """Return what is said of a batch."""
    counts = getattr(said, "request_counts", None)
    data = getattr(getattr(said, "errors", None), "data", None)
    metadata = getattr(said, "metadata", None)
    return BatchFacts(
        id=_text(said, "id"),
        status=_text(said, "status"),
        created_at=_number(said, "created_at", LATEST),
        expires_at=_number(said, "expires_at", LATEST),
        completed=_number(counts, "completed", MOST),
        failed=_number(counts, "failed", MOST),
        input_file_id=_text(said, "input_file_id"),
        output_file_id=_text(said, "output_file_id"),
        error_file_id=_text(said, "error_file_id"),
        errors=tuple((_text(one, "code"), _text(one, "message")) for one in data) if isinstance(data, list) else (),
        metadata=metadata if isinstance(metadata, dict) else {},
    )


def _text(said: Any, name: str) -> str:
    value = getattr(said, name, None)
    return fold_lines(value) if isinstance(value, str) else ""


def _number(said: Any, name: str, most: int) -> int:
    value = getattr(said, name, None)
    return int(value) if isinstance(value, int | float) and 0 <= value < most else 0


def _refuse(why: str) -> Any:
    raise TransientError("a malformed response", said=why, unusable=True)
