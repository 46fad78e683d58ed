"""Read the JSON object in a model's answer, or say what is wrong with it in words that the model can act on.

What is read is what the model says after its thoughts. Where it gives several objects that differ, none is taken: the
first may be a draft or an example, the last an afterthought, and which it is nobody can tell.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from mmedpo.core.answers import replace_surrogates
from mmedpo.endpoints.reasoning import strip_thoughts

Reply = TypeVar("Reply", bound=BaseModel)
BRACES = 1000  # at which an object is looked for: a text of nothing but braces must not take a minute
LONGEST = 1_000_000  # characters; no answer is that long, and looking through it takes a second


@dataclass(frozen=True)
class AnswerFault:
    """What is wrong with an answer."""

    reason: str  # for the count of drops: few and plain
    say: str  # to the model, which is asked again


EMPTY = AnswerFault("the answer is empty", "Your answer was empty. Answer with the JSON object.")
CUT = AnswerFault("the answer was cut off", "Your answer was cut off. Answer again, with much shorter texts.")
THOUGHT = AnswerFault(
    "the answer was cut off within a thought",
    "Your answer ended before your thoughts did. Think briefly, then answer with the JSON object.",
)
LONG = AnswerFault("the answer has no end", "Your answer was far too long. Answer with the JSON object alone.")
NO_JSON = AnswerFault("the answer is not JSON", "That is not one complete JSON object. Answer with nothing but it.")
TWO = AnswerFault(
    "two answers that differ were given",
    "You gave more than one answer, and they differ. Give one JSON object, and no draft or example.",
)
FORM = AnswerFault(
    "the form was repeated and not filled in",
    "That repeats the description of the object. Put your own values into it.",
)


class _DuplicateKeyError(ValueError):
    """A key stands twice in one object."""


def read_reply(text: str, kind: type[Reply], *, cut: bool = False) -> Reply | AnswerFault:
    """Return the object of a kind that an answer holds, prose around it or not; `cut` when it hit the token limit."""
    if len(text) > LONGEST:
        return LONG
    try:
        objects = _parse_whole(text)
        said = text if objects else strip_thoughts(text)
        if said is None:
            return THOUGHT
        if not said.strip():
            return EMPTY
        objects = objects or _parse_whole(_strip_fence(said))
        if cut and not objects:
            return CUT  # what was to follow may have been another answer
        objects = objects or list(_find_objects(_strip_form(said, kind)))
    except _DuplicateKeyError as error:
        return AnswerFault("a key stands twice in the answer", f"The key {error} stands twice. Give each key once.")
    return _choose_reply(objects, kind) if objects else NO_JSON


def _choose_reply(objects: Sequence[_JsonObject], kind: type[Reply]) -> Reply | AnswerFault:
    """Return the answer that the objects give, if it is one."""
    own = [one for one in objects if not _is_form(one, kind)]
    if not own:
        return FORM
    read = [_validate(one.value, kind) for one in own]
    fits = [reply for reply in read if not isinstance(reply, AnswerFault)]
    if not fits:
        return next(reply for reply in read if isinstance(reply, AnswerFault))
    answer = fits[0].model_dump()
    others = [one.value for one, reply in zip(own, read, strict=True) if isinstance(reply, AnswerFault)]
    if any(fit != fits[0] for fit in fits) or any(_contradicts(other, answer) for other in others):
        return TWO
    return TWO if any(_mentions_field(one.around or "", answer) for one in own) else fits[0]


@dataclass(frozen=True)
class _JsonObject:
    """An object in a text, and the text between the one before it and the next; none where it is the whole text."""

    value: dict[str, Any]
    around: str | None = None


def _parse_whole(text: str) -> list[_JsonObject]:
    """Return the object that a text is, from its first character to its last; nothing where it is not one."""
    bare = text.strip()
    if not (bare.startswith("{") and bare.endswith("}")):
        return []
    try:
        return [_JsonObject(_strict_decoder().decode(bare))]
    except _DuplicateKeyError:
        raise
    except (ValueError, RecursionError):
        return []


def _find_objects(text: str) -> Iterator[_JsonObject]:
    """Yield the objects that begin at some brace of a text, none within another."""
    at, told, tried = text.find("{"), 0, 0
    found: list[tuple[dict[str, Any], int, int]] = []
    while at >= 0:
        if tried == BRACES:
            return  # whatever there was, more may follow that is not seen
        tried += 1
        try:
            value, end = _strict_decoder().raw_decode(text, at)
        except _DuplicateKeyError:
            raise
        except (ValueError, RecursionError):
            at = text.find("{", at + 1)
            continue
        found.append((value, at, end))
        at = text.find("{", end)
    for number, (value, start, end) in enumerate(found):
        after = found[number + 1][1] if number + 1 < len(found) else len(text)
        yield _JsonObject(value, f"{text[told:start]} {text[end:after]}")
        told = end


def _contradicts(other: Mapping[str, Any], answer: Mapping[str, Any]) -> bool:
    """Tell whether an object that is no whole answer gives one of its fields another value."""
    return any(name in answer and str(value).strip() != str(answer[name]).strip() for name, value in other.items())


def _mentions_field(text: str, fields: Mapping[str, Any]) -> bool:
    """Tell whether a text that is no object gives a value to one of the fields all the same."""
    names = "|".join(map(re.escape, fields))
    return bool(re.search(rf"[\"'](?:{names})[\"']\s*:\s*[-\d\"'{{\[tfn]", text))


def _strip_fence(text: str) -> str:
    """Return a text without the fence around the whole of it."""
    bare = text.strip()
    if not (bare.startswith("```") and bare.endswith("```")):
        return bare
    return bare.strip("`").lstrip().removeprefix("json").removeprefix("JSON").strip()


@cache
def _strict_decoder() -> json.JSONDecoder:
    return json.JSONDecoder(
        object_pairs_hook=_require_unique_keys, parse_constant=_refuse_constant, parse_float=_parse_finite
    )


def _require_unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = [key for key, _ in pairs]
    twice = [key for key in keys if keys.count(key) > 1]
    if twice:
        raise _DuplicateKeyError(replace_surrogates(json.dumps(twice[0], ensure_ascii=False)))
    return {key: replace_surrogates(value) if isinstance(value, str) else value for key, value in pairs}


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _parse_finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _refuse_constant(text)


def _validate(value: dict[str, Any], kind: type[Reply]) -> Reply | AnswerFault:
    """Return an object as a kind, or what is wrong with it."""
    fields = _schema_fields(kind)
    for name, given in value.items():
        if isinstance(given, bool) and name in fields and "boolean" not in _describe_type(fields[name]):
            wanted = _describe_type(fields[name])
            say = f"The object is wrong: {name}: Input should be a {wanted}, not {json.dumps(given)}."
            return AnswerFault("the answer has not the fields asked for", say)
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        return AnswerFault(
            "the answer has not the fields asked for", f"The object is wrong: {_describe_errors(error)}."
        )


def _describe_errors(error: ValidationError) -> str:
    """Tell the first mistakes by field, without the values: they may be long."""
    faults = error.errors(include_url=False, include_input=False)[:3]
    return "; ".join(f"{'.'.join(map(str, item['loc'])) or 'object'}: {item['msg']}"[:300] for item in faults)


# --- the shape that is asked for --------------------------------------------------------------------------------------


@cache
def _schema_fields(kind: type[BaseModel]) -> dict[str, Any]:
    return dict(kind.model_json_schema()["properties"])


@cache
def describe_shape(kind: type[BaseModel]) -> str:
    """Describe the object to answer with, for the end of a prompt."""
    fields = _schema_fields(kind)
    rows = [f'  "{name}": {_describe_type(field)}{_quote_description(field)}' for name, field in fields.items()]
    return "Answer with one JSON object and nothing else:\n{\n" + ",\n".join(rows) + "\n}"


def _quote_description(field: Mapping[str, Any]) -> str:
    return f"   ({field['description']})" if field.get("description") else ""


def _describe_type(field: Mapping[str, Any]) -> str:
    if "enum" in field:
        return " or ".join(json.dumps(value) for value in field["enum"])
    if "anyOf" in field:
        return " or ".join(_describe_type(one) for one in field["anyOf"])
    return str(field.get("type", "value"))


@cache
def strict_schema(kind: type[BaseModel]) -> dict[str, Any]:
    """Return the JSON schema of a kind whose fields are plain, as endpoints with strict output want it."""
    schema = kind.model_json_schema()
    return {**schema, "additionalProperties": False, "required": list(schema["properties"])}


def _is_form(one: _JsonObject, kind: type[BaseModel]) -> bool:
    """Tell whether an object is the form itself: a field holds what was said of it, or within prose a placeholder."""
    known = _form_words(kind)
    given = {name: _fold_words(value) for name, value in one.value.items() if isinstance(value, str) and name in known}
    return any(words in known[name] or (words == "..." and one.around is not None) for name, words in given.items())


@cache
def _form_words(kind: type[BaseModel]) -> dict[str, set[str]]:
    """Return what a field holds that was not filled in, by its name."""
    fields = _schema_fields(kind)
    told = {name: {f"{field.get('description', '')}", _describe_type(field)} for name, field in fields.items()}
    return {name: {_fold_words(text) for text in texts if text} for name, texts in told.items()}


def _fold_words(text: str) -> str:
    """Return a text's words in lower case; of a placeholder such as "..." its marks."""
    bare = text.strip().strip("<>[](){}\"'` ")
    return " ".join(re.findall(r"\w+", bare.lower())) or bare.replace("…", "...")


def _strip_form(text: str, kind: type[BaseModel]) -> str:
    """Return a text without the description of the shape, which some models repeat word for word."""
    return _form_pattern(kind).sub(" ", text) if '"' in text else text


@cache
def _form_pattern(kind: type[BaseModel]) -> re.Pattern[str]:
    body = describe_shape(kind).split("\n", 1)[1]
    return re.compile(r"\s*".join(map(re.escape, body.split())))
