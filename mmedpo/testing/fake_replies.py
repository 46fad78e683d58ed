"""What a fake endpoint answers: right replies, such as a schema asks for, and everything that goes wrong on the way."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Request = dict[str, Any]  # the body of a chat completion's request


@dataclass(frozen=True)
class FakeReply:
    """What a fake endpoint does with one request."""

    status: int = 200
    text: str = "{}"  # the model's answer, for status 200
    body: str | None = None  # the whole response body, instead
    headers: tuple[tuple[str, str], ...] = ()
    delay: float = 0.0  # seconds
    drop: str = ""  # "before" the response, or "within" it: the connection is cut
    finish: str = "stop"  # "length" for an answer that was cut off
    refusal: str | None = None
    late: bool = False  # the delay is longer than a client waits
    raw: bytes | None = None  # the whole body, byte for byte
    drip: float = 0.0  # seconds between two bytes of the body
    endless: bool = False  # the body goes on for as long as anyone reads

    @property
    def answers(self) -> bool:
        """Tell whether a whole, well-formed response goes out while the client waits."""
        return self.status == 200 and not self.drop and self.body is None and self.raw is None and not self.late


FAULTS = [  # what can happen on the way
    FakeReply(429, "slow down", headers=(("Retry-After", "0.02"),)),
    FakeReply(500, "oops"),
    FakeReply(503, "overloaded", headers=(("retry-after-ms", "20"),)),
    FakeReply(delay=3.0, late=True),
    FakeReply(drop="before"),
    FakeReply(drop="within"),
    FakeReply(body="<html>bad gateway</html>"),
    FakeReply(body='{"choices": []}'),
]


def with_faults(
    good: Callable[[Request], FakeReply], share: float, kinds: Sequence[FakeReply] = FAULTS
) -> Callable[[Request, int], FakeReply]:
    """Let a share of the calls fail, each kind as often; which ones, the request and its number decide."""

    def reply(request: Request, before: int) -> FakeReply:
        drawn = hashlib.sha256(f"{before} {json.dumps(request)}".encode()).digest()
        if int.from_bytes(drawn[:4], "big") / 2**32 >= share:
            return good(request)
        return kinds[int.from_bytes(drawn[4:8], "big") % len(kinds)]

    return reply


def answer_by_schema(request: Request, before: int = 0) -> FakeReply:
    """Answer with the least JSON that the request's schema takes; with an empty object where it has none."""
    asked = request.get("response_format", {}).get("json_schema", {}).get("schema", {})
    return FakeReply(text=json.dumps(_fill(asked, asked.get("$defs", {}))))


def _fill(schema: Mapping[str, Any], known: Mapping[str, Any]) -> Any:
    if "$ref" in schema:
        return _fill(known[schema["$ref"].rpartition("/")[2]], known)
    if "const" in schema or "enum" in schema:
        return schema.get("const", schema.get("enum", [None])[0])
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            return _fill(schema[several][0], known)
    match schema.get("type", "object"):
        case "object":
            return {name: _fill(inner, known) for name, inner in schema.get("properties", {}).items()}
        case "array":
            return [_fill(schema.get("items", {}), known)] * schema.get("minItems", 0)
        case "integer" | "number":
            return schema.get("minimum", 0)
        case "boolean":
            return False
        case "null":
            return None
    return "no" + "o" * (schema.get("minLength", 0) - 2)


def write_completion(reply: FakeReply, request: Request) -> str:
    """Return a response's body as the protocol has it."""
    if reply.status != 200:
        return json.dumps({"error": {"message": reply.text, "type": "test", "code": None}})
    message = {"role": "assistant", "content": None if reply.refusal else reply.text, "refusal": reply.refusal}
    usage = {"prompt_tokens": len(json.dumps(request)) // 4, "completion_tokens": len(reply.text) // 4}
    choice = {"index": 0, "message": message, "finish_reason": reply.finish}
    return json.dumps({"id": "x", "object": "chat.completion", "model": "m", "choices": [choice], "usage": usage})
