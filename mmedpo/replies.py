"""Read the JSON object in a model's answer, or say what is wrong with it in words that the model can act on."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

Reply = TypeVar("Reply", bound=BaseModel)
_FENCE = re.compile(r"```(?:json)?\s*(.*?)```", re.DOTALL | re.IGNORECASE)
_THOUGHT = re.compile(r"<think>.*?</think>", re.DOTALL)


@dataclass(frozen=True)
class Fault:
    """What is wrong with an answer."""

    reason: str  # for the count of drops: few and plain
    say: str  # to the model, which is asked again


class _Twice(ValueError):
    """A key stands twice in one object."""


def read_reply(text: str, kind: type[Reply], *, cut: bool = False) -> Reply | Fault:
    """Return the object of a kind that an answer holds, prose around it or not; `cut` when it hit the token limit."""
    if not text.strip():
        return Fault("the answer is empty", "Your answer was empty. Answer with the JSON object.")
    try:
        value = _object(_THOUGHT.sub("", text))
    except _Twice as error:
        return Fault("a key stands twice in the answer", f"The key {error} stands twice. Give each key once.")
    if value is None and cut:
        return Fault("the answer was cut off", "Your answer was cut off. Answer again, with much shorter texts.")
    if value is None:
        return Fault("the answer is not JSON", "That is not one complete JSON object. Answer with nothing but it.")
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        return Fault("the answer has not the fields asked for", f"The object is wrong: {_told(error)}.")


def _object(text: str) -> Any:
    """Return the first JSON object in a text, or None."""
    for candidate in (text, *_FENCE.findall(text)):
        try:
            value = json.loads(candidate, object_pairs_hook=_unique, parse_constant=_no_number)
        except _Twice:
            raise
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            return value
    return next(_objects_within(text), None)


def _objects_within(text: str) -> Iterator[dict[str, Any]]:
    """Yield the objects that begin at some brace of a text."""
    decoder = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_number)
    at, tried = text.find("{"), 0
    while at >= 0 and tried < 64:  # a text of nothing but braces must not take a minute
        try:
            value, _ = decoder.raw_decode(text, at)
        except _Twice:
            raise
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, dict):
            yield value
        at, tried = text.find("{", at + 1), tried + 1


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = [key for key, _ in pairs]
    twice = [key for key in keys if keys.count(key) > 1]
    if twice:
        raise _Twice(json.dumps(twice[0], ensure_ascii=False))
    return dict(pairs)


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _told(error: ValidationError) -> str:
    """Tell the first mistakes by field, without the values: they may be long."""
    faults = error.errors(include_url=False, include_input=False)[:3]
    return "; ".join(f"{'.'.join(map(str, item['loc'])) or 'object'}: {item['msg']}" for item in faults)


@cache
def asked_shape(kind: type[BaseModel]) -> str:
    """Describe the object to answer with, for the end of a prompt."""
    fields = kind.model_json_schema()["properties"]
    rows = [f'  "{name}": {_type_of(field)}{_described(field)}' for name, field in fields.items()]
    return "Answer with one JSON object and nothing else:\n{\n" + ",\n".join(rows) + "\n}"


def _described(field: Mapping[str, Any]) -> str:
    return f"   ({field['description']})" if field.get("description") else ""


def _type_of(field: Mapping[str, Any]) -> str:
    if "enum" in field:
        return " or ".join(json.dumps(value) for value in field["enum"])
    if "anyOf" in field:
        return " or ".join(_type_of(one) for one in field["anyOf"])
    return str(field.get("type", "value"))


@cache
def strict_schema(kind: type[BaseModel]) -> dict[str, Any]:
    """Return the JSON schema of a kind whose fields are plain, as endpoints with strict output want it."""
    schema = kind.model_json_schema()
    return {**schema, "additionalProperties": False, "required": list(schema["properties"])}
