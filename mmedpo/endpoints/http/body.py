"""Read what an endpoint sends: the answer in a response's body, or in a line of a batch's file.

An answer that came was paid for. Nothing odd beside it (a count of tokens that is none, a mark before the JSON, half a
character) throws it away; what had to be guessed or replaced is noted.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from mmedpo.core.answers import replace_surrogates
from mmedpo.endpoints.http.failure import classify_status, classify_success, fold_lines
from mmedpo.endpoints.http.outcome import (
    EndpointAnswer,
    RequestOutcome,
    TransientError,
)
from mmedpo.endpoints.token_bounds import bound_text_tokens

GUESSED, MENDED = "unknown_usage", "half_characters"  # what may be odd about a reply, as run.json counts it
CUT = ("length", "max_tokens", "max_output_tokens", "model_length")
FILTERED = ("content_filter", "safety", "prohibited_content", "blocklist", "refusal")
SLACK = 100_000  # tokens by which a count may be beyond what we reckon with: thoughts, large images
TokenBounds = tuple[int, int]  # how many tokens prompt and answer have at most, for where the endpoint does not say


def decode_body(raw: bytes) -> str:
    """Decode a body: UTF-8, or what a byte order mark says; bytes that are no text are replaced."""
    for mark, name in ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16")):
        if raw.startswith(mark):
            return raw.decode(name, errors="replace").lstrip("\ufeff")
    return raw.decode(errors="replace")


def read_response(text: str, most: TokenBounds, redact: Callable[[str], str]) -> RequestOutcome:
    """Read a response's body."""
    try:
        body = json.loads(text.lstrip("\ufeff"), parse_int=_parse_int)
    except (ValueError, RecursionError):
        return _classify_text(text, redact)
    if isinstance(body, dict):
        return _classify_body(body, most, redact)
    return TransientError("a malformed response", said=redact(fold_lines(text[:200])), maybe_paid=True, unusable=True)


def _classify_body(body: Mapping[str, Any], most: TokenBounds, redact: Callable[[str], str]) -> RequestOutcome:
    choice = _first_choice(body.get("choices"))
    message = choice.get("message")
    finish = str(choice.get("finish_reason")).lower()
    if not isinstance(message, dict) or finish == "error":
        return classify_success(body, redact)
    refused = bool(message.get("refusal")) or finish in FILTERED
    said = _join_content(message.get("content"))
    if said is None or (not said.strip() and not refused and (body.get("error") or choice.get("error"))):
        return classify_success(body, redact)
    thought = _join_content(message.get("reasoning_content") or message.get("reasoning")) or ""
    tokens, guessed = _read_usage(body.get("usage"), most, said + thought)
    text = replace_surrogates(said)
    odd = (*((GUESSED,) if guessed else ()), *((MENDED,) if text != said else ()))
    return EndpointAnswer(text, finish in CUT, refused, tokens, odd)


def _first_choice(choices: Any) -> dict[str, Any]:
    first = choices[0] if isinstance(choices, list) and choices else None
    return first if isinstance(first, dict) else {}


def _join_content(content: Any) -> str | None:
    """Return a message's text, of which some endpoints send parts, and some the object itself; None for no text."""
    if content is None or isinstance(content, str):
        return content or ""
    if isinstance(content, dict):
        return json.dumps(content)
    if not isinstance(content, list):
        return None
    parts = [part.get("text") if isinstance(part, dict) and part.get("type") in TEXT else part for part in content]
    return "".join(part for part in parts if isinstance(part, str))


TEXT = ("text", "output_text")


def _read_usage(usage: Any, most: TokenBounds, said: str) -> tuple[tuple[int, int], bool]:
    """Return the tokens of prompt and answer, and whether one had to be guessed: then it is what it can be at most."""
    counts = usage if isinstance(usage, dict) else {}
    prompt = _parse_count(counts.get("prompt_tokens"), most[0])
    answer = _parse_count(counts.get("completion_tokens"), most[1])
    if prompt is not None and answer is not None:
        return (prompt, answer), False
    likely = min(most[1], bound_text_tokens(said))
    return (most[0] if prompt is None else prompt, likely if answer is None else answer), True


def _parse_count(value: Any, most: int) -> int | None:
    """Return a count of tokens; None for what cannot be one."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not 0 <= value <= 10 * most + SLACK or value != int(value):
        return None
    return int(value)


def _parse_int(digits: str) -> int | float:
    return int(digits) if len(digits) < 20 else float("inf")  # Python refuses to read some thousand digits


def _classify_text(text: str, redact: Callable[[str], str]) -> RequestOutcome:
    """Say what a body that is no JSON seems to be."""
    bare = text.strip()
    if re.match(r"(?:data|event|id|retry)?:", bare):
        return _classify_stream(bare, redact)
    page = bare.startswith("<")
    what = "a page in place of an answer" if page else "an empty response" if not bare else "a malformed response"
    return TransientError(what, said=redact(fold_lines(bare[:200])), maybe_paid=not page, unusable=True)


def _classify_stream(text: str, redact: Callable[[str], str]) -> RequestOutcome:
    """Say what a stream of events brings that nobody asked for: an error, where its first event is one."""
    data = re.search(r"^data:\s*(\{.*)$", text, re.MULTILINE)
    try:
        event = json.loads(data[1]) if data else {}
    except (ValueError, RecursionError):
        event = {}
    if isinstance(event, dict) and (event.get("error") or _first_choice(event.get("choices")).get("error")):
        return classify_success(event, redact)
    said = redact(fold_lines(text[:200]))
    return TransientError("an event stream in place of an answer", said=said, maybe_paid=True, unusable=True)


def read_batch_line(
    line: bytes, most: Callable[[str], TokenBounds], redact: Callable[[str], str]
) -> tuple[str, RequestOutcome]:
    """Read a line of a batch's output or error file: the request's id and what became of it."""
    try:
        entry = json.loads(redact(decode_body(line)), parse_int=_parse_int)
        name, response, error = str(entry["custom_id"]), entry.get("response"), entry.get("error")
        if not response:
            code = error.get("code") if isinstance(error, dict) else error
            return name, TransientError(fold_lines(code or "no response")[:60])
        status, body = int(response.get("status_code", 200)), response["body"]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, OverflowError):
        return "", TransientError("a malformed line")
    if status != 200:
        return name, classify_status(status, body.get("error", body) if isinstance(body, dict) else body, {}, redact)
    if isinstance(body, dict):
        return name, _classify_body(body, most(name), redact)
    return name, read_response(str(body), most(name), redact)
