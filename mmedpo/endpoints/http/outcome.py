"""What becomes of a request to an endpoint: an answer, a fault that passes, or a refusal to serve."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias


@dataclass(frozen=True)
class EndpointAnswer:
    """What a model said."""

    text: str
    cut: bool = False  # it hit the token limit
    refused: bool = False
    tokens: tuple[int, int] = (0, 0)  # of prompt and answer
    odd: tuple[str, ...] = ()  # what had to be guessed or replaced, to be counted

    def to_json(self) -> dict[str, Any]:
        """Return the JSON value that the journal keeps."""
        kept = asdict(self)
        del kept["odd"]  # it is counted once, when the answer comes
        return kept

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> EndpointAnswer:
        """Rebuild an answer. Raises ValueError, or what a wrong shape raises, for what is none."""
        text, (sent, got) = value["text"], value["tokens"]
        if not isinstance(text, str):
            raise ValueError(f"{text!r:.80} is no answer")
        return cls(text, bool(value["cut"]), bool(value["refused"]), (int(sent), int(got)))


class TransientError(Exception):
    """A fault that may be gone at the next try."""

    def __init__(
        self,
        what: str,
        *,
        said: str = "",
        retry_after: float = 0.0,
        maybe_paid: bool = False,
        own: bool = True,
        teaches: bool = False,
        unusable: bool = False,
        unheard: bool = False,
    ) -> None:
        super().__init__(what)
        self.what = what  # few and plain words, to be counted
        self.said = said  # in the endpoint's own words, or the system's
        self.retry_after = retry_after  # seconds, where the endpoint says so; 0: longer each time
        self.maybe_paid = maybe_paid  # a reply was lost on the way
        self.own = own  # may be the request's own fault, so that not all tries are worth it
        self.teaches = teaches  # its words may name a field of the request
        self.unusable = unusable  # a success by its status that holds no answer: there may be no model at all
        self.unheard = unheard  # nobody listens there

    def __str__(self) -> str:
        return f"{self.what}: {self.said[:200]}" if self.said else self.what


class NoAnswerError(Exception):
    """A question to which there is no usable answer; the reason is few and plain words, to be counted."""

    def __init__(self, reason: str, *, passing: bool = False, said: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.said = said  # in the endpoint's own words
        self.passing = passing  # the endpoint failed on it, and may not do so tomorrow


@dataclass(frozen=True)
class EndpointRefusal:
    """The endpoint does not serve the request and would not if it came again."""

    status: int
    said: str
    code: str = ""

    @property
    def no_credit(self) -> bool:
        """Tell whether the account has nothing left."""
        return self.status == 402 or self.code in ("insufficient_quota", "billing_hard_limit_reached")

    @property
    def no_answer(self) -> NoAnswerError:
        """Say what it is to one question."""
        reason = f"the endpoint rejected the request (HTTP {self.status}{self.code and ' ' + self.code})"
        return NoAnswerError(reason, said=self.said)


class ResponseTooLongError(Exception):
    """A response is longer than any answer."""


RequestOutcome: TypeAlias = EndpointAnswer | TransientError | EndpointRefusal
