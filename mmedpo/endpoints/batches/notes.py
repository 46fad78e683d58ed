"""What the journal knows of a request in a batch (its slip) and of the batch (its sheet), and whether it can be read.

    slip, by request     {"batch": NAME, "tries": 1, "most": [TOKENS, TOKENS]}: which batch it is in, how many it was
                         in, what it takes at most; "refused" where one said that it will never be answered
    sheet, by batch      {"state": ..., "id": ...}
        doubtful         about to be submitted; whether it was, the endpoint's list of batches tells
        sent             in the endpoint's hands
        taken            every answer in it is journalled
        void             it came to nothing, nothing in it was tried

What cannot be read is as good as not there: a request without a slip is asked again. A sheet is not given up so easily,
for its batch may be on its way and paid: the endpoint's own list tells.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from mmedpo.core.records import digest
from mmedpo.endpoints.http.dialect import EndpointDialect

if TYPE_CHECKING:
    from mmedpo.registry.contracts.setting import AnswerStore

STATES = ("doubtful", "sent", "taken", "void")
UNKNOWN: Mapping[str, Any] = {
    "state": "doubtful", "since": 0, "count": 0, "dialect": asdict(EndpointDialect(schema=False, limit="max_tokens")),
}  # fmt: skip


def request_note_key(key: str) -> str:
    """Return the journal's key of what is known of a request that was in a batch."""
    return digest("batch of", key)


def batch_note_key(name: str) -> str:
    """Return the journal's key of what is known of a batch."""
    return digest("batch", name)


def read_request_note(journal: AnswerStore, key: str) -> dict[str, Any] | None:
    """Return what is known of a request; None where it was in no batch."""
    known: dict[str, Any] | None = journal.get(request_note_key(key), _slip)
    return known


def read_batch_note(journal: AnswerStore, name: str) -> Mapping[str, Any]:
    """Return what is known of a batch; of one that nothing is known of, that only the endpoint can tell."""
    known: Mapping[str, Any] = journal.get(batch_note_key(name), _sheet) or UNKNOWN
    return known


def _slip(value: Any) -> dict[str, Any]:
    int(value["tries"]), [int(tokens) for tokens in value["most"]]
    if "refused" in value:
        int(value["refused"]["status"]), value["refused"]["code"]
    return {**value, "batch": str(value["batch"])}


def _sheet(value: Any) -> dict[str, Any]:
    if value["state"] not in STATES or (value["state"] == "sent" and not isinstance(value["id"], str)):
        raise ValueError(f"{value!r:.80} says nothing of a batch")
    int(value["since"]), int(value["count"]), EndpointDialect(**value["dialect"])
    tokens = value.get("tokens", (0, 0))
    int(tokens[0]), int(tokens[1]), int(value.get("answered", 0)), int(value.get("lost", 0)), dict(value.get("odd", {}))
    return dict(value)
