"""The options of whatever talks to a model over an OpenAI-compatible endpoint."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, Literal

from pydantic import BaseModel, Field

from mmedpo.core.locality import parse_host
from mmedpo.errors import RecipeError
from mmedpo.registry.contracts.part import Part
from mmedpo.registry.contracts.served_model import ServedModel

OPENAI = "https://api.openai.com/v1"


class Endpoint(ServedModel):
    """Where a model is and how to talk to it; a part that talks to one inherits these options."""

    model: str = Field(default="gpt-4o", min_length=1)
    """The model, by the endpoint's name for it; with Azure, the deployment."""
    base_url: str = OPENAI
    """Where the endpoint is, for example http://localhost:8000/v1 for a server of your own."""
    azure: str | None = None
    """With Azure OpenAI, the API version, for example 2024-10-21; base_url is then the resource's address."""
    structured: Literal["auto", "schema", "prompt"] = "auto"
    """Ask for JSON by schema or by prompt alone; auto tries the schema and goes on without where it is refused."""
    temperature: float = Field(default=0.0, ge=0, le=2)
    """How freely the model answers; left out for models that do not take it."""
    max_tokens: int = Field(default=1024, ge=1)
    """The longest answer, in tokens, thoughts included."""
    detail: Literal["auto", "low", "high"] = "auto"
    """How closely the endpoint looks at an image, where it knows this option."""
    repairs: int = Field(default=3, ge=0)
    """How often a model is told what is wrong with its answer before its case is dropped."""
    batch: bool = False
    """Ask through OpenAI's Batch API: the run submits what it has to ask and stops; the same command collects it."""
    batch_window: str = Field(default="24h", pattern=r"^[1-9]\d*[hd]$")
    """The time within which a batch is to be answered; OpenAI has 24h alone."""
    batch_wait: float = Field(default=0.0, ge=0)
    """The seconds for which a run waits for a batch before it stops."""
    batch_price: float = Field(default=0.5, ge=0, le=1)
    """What a request in a batch costs, as a share of the model's price."""
    batch_tokens: int | None = Field(default=None, ge=1)
    """At most so many tokens of prompts in batches at once, for an account with such a limit; the rest follows."""

    @classmethod
    def of(cls, served: ServedModel) -> Endpoint:
        """Make an endpoint of a served model, everything else as usual."""
        return cls.model_validate({name: getattr(served, name) for name in ServedModel.model_fields})

    @property
    def price_share(self) -> float:
        """What a request costs, as a share of the model's price."""
        return self.batch_price if self.batch else 1.0

    def key(self) -> str:
        """Return the key from the environment; empty where none is needed. Raises RecipeError when it is missing."""
        name = self.key_from or self._usual_key()
        key = os.environ.get(name, "").strip() if name else ""
        if name and not key:
            raise RecipeError(f"{parse_host(self.base_url)} needs a key: set the environment variable {name}")
        return key

    def _usual_key(self) -> str:
        """Name the variable that people keep this endpoint's key in; OpenAI's key is sent to nobody else."""
        if self.azure:
            return "AZURE_OPENAI_API_KEY"
        return "OPENAI_API_KEY" if parse_host(self.base_url) == parse_host(OPENAI) else ""


def find_endpoints(value: Any) -> Iterator[ServedModel]:
    """Yield every endpoint among a part's options."""
    if isinstance(value, ServedModel):
        yield value
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from find_endpoints(getattr(value, name))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from find_endpoints(item)


def may_call_endpoint(part: Part) -> bool:
    """Tell whether a part may call an endpoint, one that its options show or another."""
    return any(find_endpoints(part)) or hides_endpoint(part)


def hides_endpoint(part: Part) -> bool:
    """Tell whether a part may call an endpoint that none of its options shows."""
    if any(find_endpoints(part)) or type(part).estimate_usage is Part.estimate_usage:
        return False
    try:
        return bool(part.estimate_usage([]))
    except Exception:  # it cannot tell without items
        return True
