"""How long an answer may be, by the kind of its question."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema

from mmedpo.core.records import Case, CaseKind


class AnswerLimits(BaseModel):
    """The longest answer in tokens: a number for all, or one for each kind of case."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    closed: int = Field(default=64, ge=1)
    """To a closed question."""
    open: int = Field(default=64, ge=1)
    """To an open question."""
    report: int = Field(default=256, ge=1)
    """A report."""

    @model_validator(mode="before")
    @classmethod
    def _spread_number(cls, value: Any) -> Any:
        if isinstance(value, dict | AnswerLimits):
            return value
        if type(value) is not int or value < 1:
            raise ValueError("a number of tokens from 1 up, or one each for closed:, open: and report:")
        return dict.fromkeys(cls.model_fields, value)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Describe both ways to write it."""
        return {"anyOf": [{"type": "integer", "minimum": 1}, handler.resolve_ref_schema(handler(schema))]}

    def of(self, kind: CaseKind) -> int:
        """Return the limit of a kind of case."""
        return int(getattr(self, kind))

    def __str__(self) -> str:
        """Say the limits as a recipe does: one number where they are all the same."""
        limits = self.model_dump()
        each = ", ".join(f"{kind}: {limit}" for kind, limit in limits.items())
        return f"{{{each}}}" if len(set(limits.values())) > 1 else str(self.report)


def answer_by_kind(
    answer: Callable[..., Sequence[str]],
    cases: Sequence[Case],
    limits: AnswerLimits,
    *,
    temperature: float = 0.0,
    seeds: Sequence[int] | None = None,
) -> list[str]:
    """Let what answers as a backbone's `answer` do so within the limit of each case's kind, those of one at once."""
    places: dict[int, list[int]] = defaultdict(list)
    for place, case in enumerate(cases):
        places[limits.of(case.kind)].append(place)
    said: dict[int, str] = {}
    for limit, mine in places.items():
        own = seeds and [seeds[place] for place in mine]
        answers = answer([cases[place] for place in mine], max_new_tokens=limit, temperature=temperature, seeds=own)
        said |= zip(mine, answers, strict=True)
    return [said[place] for place in range(len(cases))]
