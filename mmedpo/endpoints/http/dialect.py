"""What an endpoint understands of the protocol, learnt from what it refuses."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from mmedpo.endpoints.http.request import ChatRequest, Messages

LimitName = Literal["max_completion_tokens", "max_tokens"]
BareName = Literal["fields", "generation_config", ""]
BARE = {"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0}  # else a checkpoint's own settings count at a server
_WRONG_NAME = (
    "unsupported", "not support", "unexpected", "unknown", "unrecognized", "extra", "not permitted", "not allowed",
)  # fmt: skip


@dataclass(frozen=True)
class EndpointDialect:
    """How requests are written for one endpoint."""

    schema: bool  # whether it takes a JSON schema for the answer
    limit: LimitName  # its name for the longest answer
    temperature: bool = True  # whether its model takes one
    detail: bool = True  # whether it takes the option that says how closely to look
    renamed: bool = False  # the limit's other name was refused before
    bare: BareName = "fields"  # how it is told to change no probability: as vLLM, as transformers, not at all

    def name_missing(self, other: EndpointDialect) -> str:
        """Name what another dialect has and this one has not."""
        names = (("schema", "response_format"), ("temperature", "temperature"), ("detail", "the detail of images"))
        gone = [name for field, name in names if getattr(other, field) and not getattr(self, field)]
        if other.bare != self.bare:
            gone.append(", ".join(BARE) if other.bare == "fields" else other.bare)
        return ", ".join(gone) or other.limit

    def adapt_to(self, refusal: str, *, sure: bool = True) -> EndpointDialect:
        """Return the dialect without what a refusal complains of; the same when it is other.

        `sure` when it is a refusal (HTTP 400 or 422), and no failure that may name a field by chance.
        """
        said = refusal.lower()
        if self.schema and any(word in said for word in ("response_format", "json_schema", "guided", "structured")):
            return replace(self, schema=False)
        if self.limit in said and not self.renamed and any(word in said for word in _WRONG_NAME):
            other: LimitName = "max_tokens" if self.limit == "max_completion_tokens" else "max_completion_tokens"
            return replace(self, limit=other, renamed=True)
        if not (sure or any(word in said for word in _WRONG_NAME)):
            return self
        if self.bare == "fields" and any(name in said for name in BARE):
            return replace(self, bare="generation_config")
        if self.bare == "generation_config" and self.bare in said:
            return replace(self, bare="")
        if self.temperature and "temperature" in said:
            return replace(self, temperature=False)
        if self.detail and "detail" in said and "image" in said:
            return replace(self, detail=False)
        return self

    def write_body(self, request: ChatRequest, messages: Messages) -> dict[str, Any]:
        """Return a request's body, less the model; `messages` are the request's, with its image."""
        body: dict[str, Any] = {"messages": messages, self.limit: request.limit}
        if self.temperature or request.bare:  # without it, a backbone's answer would be neither greedy nor its sample
            body["temperature"] = request.temperature
        if self.schema and request.schema is not None:
            shape = {"name": "answer", "strict": True, "schema": request.schema}
            body["response_format"] = {"type": "json_schema", "json_schema": shape}
        if request.seed is not None:
            body["seed"] = request.seed
        return body | self._write_bare(request) if request.bare else body

    def _write_bare(self, request: ChatRequest) -> dict[str, Any]:
        """Return the fields that keep a server from changing the model's probabilities as its checkpoint says."""
        if self.bare == "generation_config":  # without it, `transformers serve` does as the checkpoint says: greedily
            settings = {"do_sample": request.temperature > 0, "top_k": 0, "top_p": 1.0, "repetition_penalty": 1.0}
            return {"generation_config": json.dumps(settings)}
        return {"top_p": 1.0, **(BARE if self.bare else {})}

    def write_image(self, url: str, detail: str) -> Mapping[str, Any]:
        """Return an image as a part of a message."""
        extra = {"detail": detail} if self.detail and detail != "auto" else {}
        return {"type": "image_url", "image_url": {"url": url, **extra}}
