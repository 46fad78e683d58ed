"""Sort what went wrong with a request: by what the SDK raised, by an HTTP status, by what a success holds instead."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from mmedpo.endpoints.http.outcome import (
    EndpointAnswer,
    EndpointRefusal,
    RequestOutcome,
    ResponseTooLongError,
    TransientError,
)

_MEANT = (  # the HTTP status that an error without one stands for, by its words
    (
        402,
        r"insufficient.{0,12}(?:credit|balance|quota|fund)|out of credit|payment required|exceeded your .*quota",
    ),
    (429, r"rate.?limit|too many requests"),
    (401, r"(?:invalid|incorrect|missing|no).{0,20}(?:api.?key|credential)|unauthori[sz]ed|not authenticated"),
    (403, r"\bforbidden\b|permission.?denied"),
    (404, r"model.{0,80}(?:not.?found|does.?n.t exist|does not exist)|(?:no such|unknown) model"),
    (400, r"content.?(?:filter|policy)"),
    (503, r"overloaded|temporarily|unavailable|try again later"),
)


def classify_error(error: Exception, redact: Callable[[str], str]) -> RequestOutcome | None:
    """Sort what the SDK raised; None for what is no fault of an endpoint. `redact` takes secrets out of a text."""
    import openai

    if isinstance(error, TransientError):
        return error
    if isinstance(error, openai.APIStatusError):
        return classify_status(error.status_code, error.body or error.message, error.response.headers, redact)
    causes = list(_list_causes(error))
    if endless := [cause for cause in causes if isinstance(cause, ResponseTooLongError)]:
        return TransientError("a response without end", said=str(endless[0]), maybe_paid=True, unusable=True)
    if any(isinstance(cause, TimeoutError | openai.APITimeoutError) for cause in causes):
        return TransientError("no answer in time", maybe_paid=_was_sent(error), unheard=not _was_sent(error))
    if isinstance(error, openai.APIConnectionError):
        sent = _was_sent(error)
        return TransientError(
            "the connection failed", said=redact(_explain_causes(causes)), maybe_paid=sent, unheard=not sent
        )
    if isinstance(error, openai.APIResponseValidationError):
        return TransientError("a malformed response", maybe_paid=True, unusable=True)
    return None


def _list_causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and what it was raised for, the first cause last."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _explain_causes(causes: list[BaseException]) -> str:
    """Say why a connection failed, in the system's words."""
    failed = [cause for cause in causes if isinstance(cause, OSError) and cause.strerror]
    system = [os.strerror(one.errno) if one.errno and one.errno > 0 else one.strerror for one in failed]
    return fold_lines(system[-1] if system else str(causes[1] if len(causes) > 1 else causes[0]))


def _was_sent(error: Exception) -> bool:
    """Tell whether a request may have reached the endpoint before the connection failed."""
    never = ("ConnectError", "ConnectTimeout", "PoolTimeout", "UnsupportedProtocol", "ProxyError")
    return type(error.__cause__).__name__ not in never


def classify_status(
    status: int, error: Any, headers: Mapping[str, str], redact: Callable[[str], str]
) -> RequestOutcome:
    """Sort an HTTP status; `error` is what the response's body has under that name, or a text."""
    fields = error if isinstance(error, dict) else {}
    code = redact(fold_lines(fields.get("code") or fields.get("type") or ""))[:60]
    refused = EndpointRefusal(status, redact(extract_message(error)), code)
    if status == 400 and code in ("content_filter", "content_policy_violation"):
        return EndpointAnswer("", refused=True)
    if status == 429 and not refused.no_credit:
        return TransientError(
            "too many requests (HTTP 429)", said=refused.said, retry_after=parse_retry_after(headers), own=False
        )
    if status in (408, 409) or status >= 500:
        return TransientError(
            f"HTTP {status}", said=refused.said, retry_after=parse_retry_after(headers), teaches=status >= 500
        )
    return refused


def classify_success(body: Mapping[str, Any], redact: Callable[[str], str]) -> RequestOutcome:
    """Sort an HTTP 200 whose body holds no answer, by the error that it holds."""
    error = _find_error(body)
    if error is None:
        return TransientError(
            "a malformed response", said=redact(extract_message(body)), maybe_paid=True, unusable=True
        )
    if status := _find_status(error, body):
        return classify_status(status, error, {}, redact)
    return TransientError("an error in an HTTP 200", said=redact(extract_message(error)), teaches=True, unusable=True)


def _find_error(body: Mapping[str, Any]) -> Any:
    """Return what a body says went wrong; None where it says nothing."""
    choices = body.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    places = [place for place in (body, first) if isinstance(place, dict)]
    found = [place[name] for place in places for name in ("error", "errors") if place.get(name)]
    plain = [body[name] for name in ("detail", "message", "msg") if body.get(name)]
    return next(iter((*found, *plain)), None)


def _find_status(error: Any, body: Mapping[str, Any]) -> int:
    """Return the HTTP status that an error gives or means; 0 where it does neither."""
    for place in (error, body):
        given = place if isinstance(place, dict) else {}
        for name in ("code", "status", "status_code", "statusCode", "http_status"):
            if re.fullmatch(r"[45]\d\d", str(given.get(name, ""))):
                return int(str(given[name]))
    fields = error if isinstance(error, dict) else {}
    words = f"{fields.get('code')} {fields.get('type')} {extract_message(error)[:500]}"
    return next((status for status, meant in _MEANT if re.search(meant, words, re.IGNORECASE)), 0)


def extract_message(error: Any) -> str:
    """Return what the endpoint says of a failure, on one line."""
    said = error.get("message") if isinstance(error, dict) else None
    return fold_lines(said or error)


def fold_lines(value: Any) -> str:
    """Return a value as text without line breaks, and without what would steer a terminal."""
    text = str(value)[:2000]
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def parse_retry_after(headers: Mapping[str, str]) -> float:
    """Return the seconds after which an endpoint wants to be asked again; 0 when it does not say."""
    try:
        name, share = ("retry-after-ms", 1000) if "retry-after-ms" in headers else ("retry-after", 1)
        seconds = float(headers[name]) / share
        return seconds if 0 < seconds < float("inf") else 0.0
    except KeyError:
        return 0.0
    except ValueError:
        return _count_seconds_until(headers.get("retry-after", ""))


def _count_seconds_until(date: str) -> float:
    try:
        return max(0.0, parsedate_to_datetime(date).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return 0.0
