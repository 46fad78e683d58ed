"""What the journal knows of a batch and of each request in one.

What cannot be read is as good as not there: a request without a note is asked again. A batch is not given up so easily,
for it may be on its way and paid: the endpoint's own list tells.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from mmedpo.core.records import digest
from mmedpo.endpoints.http.dialect import EndpointDialect
from mmedpo.endpoints.http.outcome import EndpointRefusal

if TYPE_CHECKING:
    from mmedpo.registry.contracts.setting import AnswerStore


class BatchState(StrEnum):
    """What has become of a batch."""

    DOUBTFUL = "doubtful"  # about to be submitted; whether it was, the endpoint's list of batches tells
    SENT = "sent"  # in the endpoint's hands
    TAKEN = "taken"  # every answer in it is journalled
    VOID = "void"  # it came to nothing, nothing in it was tried

    @property
    def is_over(self) -> bool:
        """Tell whether nothing more comes of it."""
        return self in (BatchState.TAKEN, BatchState.VOID)


@dataclass(frozen=True)
class BatchNote:
    """What is known of a batch."""

    dialect: EndpointDialect  # that its requests are written in
    state: BatchState = BatchState.DOUBTFUL
    since: int = 0  # seconds of the epoch; it was made no earlier
    count: int = 0  # of its requests
    id: str = ""  # the endpoint's name for it, where it is known
    answered: int = 0
    tokens: tuple[int, int] = (0, 0)  # of prompts and of answers
    lost: int = 0  # answers that cannot be read and may have been charged
    odd: Mapping[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the JSON value that the journal keeps."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> BatchNote:
        """Rebuild a note. Raises ValueError, or what a wrong shape raises, for what is none."""
        state, name = BatchState(value["state"]), value["id"]
        if not isinstance(name, str) or (state is BatchState.SENT and not name):
            raise ValueError(f"{value!r:.80} says nothing of a batch")
        return cls(
            EndpointDialect(**value["dialect"]),
            state,
            int(value["since"]),
            int(value["count"]),
            name,
            int(value["answered"]),
            _two_numbers(value["tokens"]),
            int(value["lost"]),
            dict(value["odd"]),
        )


UNKNOWN = BatchNote(EndpointDialect(schema=False, limit="max_tokens"))  # only the endpoint can tell


@dataclass(frozen=True)
class RequestNote:
    """What is known of a request that is or was in a batch."""

    batch: str  # the last that it was put into, by our name
    tries: int  # how many it was in
    most: tuple[int, int]  # tokens that its prompt and its answer have at most
    what: str = ""  # went wrong with it last
    refused: EndpointRefusal | None = None  # where it will never be answered

    def to_json(self) -> dict[str, Any]:
        """Return the JSON value that the journal keeps; the words of a refusal may be about a patient."""
        value = {"batch": self.batch, "tries": self.tries, "most": list(self.most), "what": self.what}
        return value | ({"refused": [self.refused.status, self.refused.code]} if self.refused else {})

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> RequestNote:
        """Rebuild a note. Raises ValueError, or what a wrong shape raises, for what is none."""
        status, code = value.get("refused") or (0, "")
        refused = EndpointRefusal(int(status), "", str(code)) if status else None
        return cls(str(value["batch"]), int(value["tries"]), _two_numbers(value["most"]), str(value["what"]), refused)


def request_note_key(key: str) -> str:
    """Return the journal's key of what is known of a request."""
    return digest("batch of", key)


def batch_note_key(name: str) -> str:
    """Return the journal's key of what is known of a batch."""
    return digest("batch", name)


def read_request_note(journal: AnswerStore, key: str) -> RequestNote | None:
    """Return what is known of a request; None where it was in no batch."""
    known: RequestNote | None = journal.get(request_note_key(key), RequestNote.from_json)
    return known


def write_request_note(journal: AnswerStore, key: str, note: RequestNote) -> None:
    """Keep what is known of a request."""
    journal.put(request_note_key(key), note.to_json())


def read_batch_note(journal: AnswerStore, name: str) -> BatchNote:
    """Return what is known of a batch; of one that nothing is known of, that only the endpoint can tell."""
    known: BatchNote = journal.get(batch_note_key(name), BatchNote.from_json) or UNKNOWN
    return known


def write_batch_note(journal: AnswerStore, name: str, note: BatchNote) -> None:
    """Keep what is known of a batch."""
    journal.put(batch_note_key(name), note.to_json())


def _two_numbers(value: Any) -> tuple[int, int]:
    first, second = value
    return int(first), int(second)
