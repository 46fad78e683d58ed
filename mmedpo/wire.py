"""What comes back from an endpoint: an answer, a fault that passes, or a refusal to serve."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from email.utils import parsedate_to_datetime
from typing import Any


@dataclass(frozen=True)
class Answer:
    """What a model said."""

    text: str
    cut: bool = False  # it hit the token limit
    refused: bool = False
    tokens: tuple[int, int] = (0, 0)  # of prompt and answer

    def to_json(self) -> dict[str, Any]:
        """Return the JSON value that the journal keeps."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Answer:
        """Rebuild an answer. Raises ValueError, or what a wrong shape raises, for what is none."""
        text, (sent, got) = value["text"], value["tokens"]
        if not isinstance(text, str):
            raise ValueError(f"{text!r:.80} is no answer")
        return cls(text, bool(value["cut"]), bool(value["refused"]), (int(sent), int(got)))


class Passing(Exception):
    """A fault that may be gone at the next try."""

    def __init__(self, what: str, *, wait: float = 0.0, maybe_paid: bool = False, own: bool = True) -> None:
        super().__init__(what)
        self.what = what
        self.wait = wait  # seconds, where the endpoint says so; 0: longer each time
        self.maybe_paid = maybe_paid  # a reply was lost on the way
        self.own = own  # may be the request's own fault, so that not all tries are worth it


class NoAnswer(Exception):
    """A question to which there is no usable answer; the reason is few and plain words, to be counted."""

    def __init__(self, reason: str, *, passing: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.passing = passing  # the endpoint failed on it, and may not do so tomorrow


@dataclass(frozen=True)
class Refused:
    """The endpoint does not serve the request and would not if it came again."""

    status: int
    said: str
    code: str = ""

    @property
    def no_credit(self) -> bool:
        """Tell whether the account has nothing left."""
        return self.status == 402 or self.code in ("insufficient_quota", "billing_hard_limit_reached")

    @property
    def drop(self) -> NoAnswer:
        """Say it of one question."""
        return NoAnswer(f"the endpoint rejected the request (HTTP {self.status}{self.code and ' ' + self.code})")


def answer_in(text: str) -> Answer:
    """Read a response's body. Raises Passing when it is not one: the call may have been paid for all the same."""
    try:
        body = json.loads(text)
        choice = body["choices"][0]
        message = choice["message"]
        said = _plain(message.get("content"))
        usage = body.get("usage") or {}
        tokens = (int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise Passing("a malformed response", maybe_paid=True) from None
    finish = choice.get("finish_reason")
    refused = bool(message.get("refusal")) or finish == "content_filter"
    return Answer(said, finish == "length", refused, tokens)


def _plain(content: Any) -> str:
    """Return a message's text; some endpoints send it in parts."""
    if isinstance(content, list):
        return "".join(part["text"] for part in content if part.get("type") == "text")
    if content is not None and not isinstance(content, str):
        raise TypeError("no text")
    return content or ""


def blame_for(error: Exception, clean: Callable[[str], str]) -> Answer | Passing | Refused | None:
    """Sort what the SDK raised; None for what is no fault of an endpoint. `clean` takes secrets out of a text."""
    import openai

    if isinstance(error, Passing):
        return error
    if isinstance(error, TimeoutError | openai.APITimeoutError):
        return Passing("no answer in time", maybe_paid=_was_sent(error))
    if isinstance(error, openai.APIStatusError):
        return judged(error.status_code, error.body or error.message, error.response.headers, clean)
    if isinstance(error, openai.APIConnectionError):
        return Passing("the connection failed", maybe_paid=_was_sent(error))
    if isinstance(error, openai.APIResponseValidationError):
        return Passing("a malformed response", maybe_paid=True)
    return None


def _was_sent(error: Exception) -> bool:
    """Tell whether a request may have reached the endpoint before the connection failed."""
    never = ("ConnectError", "ConnectTimeout", "PoolTimeout", "UnsupportedProtocol", "ProxyError")
    return type(error.__cause__).__name__ not in never


def judged(
    status: int, error: Any, headers: Mapping[str, str], clean: Callable[[str], str]
) -> Answer | Passing | Refused:
    """Sort an HTTP status; `error` is what the response's body has under that name, or a text."""
    fields = error if isinstance(error, dict) else {}
    code = clean(str(fields.get("code") or fields.get("type") or ""))[:60]
    refused = Refused(status, clean(_said(error)), code)
    if status == 400 and code in ("content_filter", "content_policy_violation"):
        return Answer("", refused=True)
    if status == 429 and not refused.no_credit:
        return Passing("too many requests (HTTP 429)", wait=retry_after(headers), own=False)
    if status in (408, 409) or status >= 500:
        return Passing(f"HTTP {status}", wait=retry_after(headers))
    return refused


def _said(error: Any) -> str:
    """Return what the endpoint says of a failure, on one line."""
    said = error.get("message") if isinstance(error, dict) else None
    return " ".join(str(said or error).split())


def answer_in_line(line: bytes, clean: Callable[[str], str]) -> tuple[str, Answer | Passing | Refused]:
    """Read a line of a batch's output or error file: the request's id and what became of it."""
    try:
        entry = json.loads(clean(line.decode()))
        name, response, error = str(entry["custom_id"]), entry.get("response"), entry.get("error")
        if not response:
            return name, Passing(str((error or {}).get("code") or "no response"))
        status, body = int(response["status_code"]), response["body"]
        if status != 200:
            said = body.get("error", body) if isinstance(body, dict) else body
            return name, judged(status, said, {}, clean)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return "", Passing("a malformed line")
    try:
        return name, answer_in(json.dumps(body))
    except Passing as fault:
        return name, fault


def retry_after(headers: Mapping[str, str]) -> float:
    """Return the seconds after which an endpoint wants to be asked again; 0 when it does not say."""
    try:
        if "retry-after-ms" in headers:
            return max(0.0, float(headers["retry-after-ms"]) / 1000)
        return max(0.0, float(headers["retry-after"]))
    except KeyError:
        return 0.0
    except ValueError:
        return _until(headers.get("retry-after", ""))


def _until(date: str) -> float:
    try:
        return max(0.0, parsedate_to_datetime(date).timestamp() - time.time())
    except (ValueError, TypeError):
        return 0.0
