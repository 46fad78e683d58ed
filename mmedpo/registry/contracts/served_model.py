"""A model at an OpenAI-compatible endpoint: where it is, how it is reached, and whose answers it may give."""

from __future__ import annotations

import re
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from mmedpo.core.locality import has_valid_host, parse_host


class ServedModel(BaseModel):
    """Where a model is and how it is reached."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, protected_namespaces=())

    model: str = Field(min_length=1)
    """The model, by the endpoint's name for it."""
    base_url: str
    """Where the endpoint is, for example http://localhost:8000/v1 for a server of your own."""
    key_from: str | None = Field(default=None, pattern=r"^[A-Za-z_]\w*$")
    """The environment variable that holds the key; by default the one of OpenAI or Azure, and none elsewhere."""
    longest_side: int = Field(default=1024, ge=32)
    """An image is downscaled to this, in pixels, before it is sent."""
    concurrency: int = Field(default=16, ge=1)
    """How many requests are in flight at once."""
    requests_per_minute: float | None = Field(default=None, gt=0)
    """At most so many requests a minute."""
    tokens_per_minute: float | None = Field(default=None, gt=0)
    """At most so many tokens a minute, prompts and answers together."""
    timeout: float = Field(default=120.0, gt=0)
    """The seconds after which an answer is given up and asked for again."""
    tries: int = Field(default=10, ge=1)
    """How often a request is sent when the endpoint fails on it and answers others meanwhile."""
    patience: float = Field(default=300.0, ge=0)
    """The seconds for which an endpoint may answer nobody before the run stops, to be gone on with later."""

    @field_validator("base_url")
    @classmethod
    def _plain_address(cls, url: str) -> str:
        if not re.match(r"https?://[^/@?#\s]+(/[^@?#\s]*)?$", url) or not url.isprintable() or not parse_host(url):
            raise ValueError("an address is http(s)://host[:port]/path; a key has no place in it, see key_from")
        if not has_valid_host(url):
            raise ValueError("an address is http(s)://host[:port]/path, with a host's name and a port from 1 to 65535")
        return url


class ServedAnswers(ServedModel):
    """An endpoint that answers in a backbone's place; all else, training above all, is done here."""

    longest_side: int = Field(default=8192, ge=32)
    """An image is downscaled to this, in pixels, before it is sent; then it is another one than training sees."""
    concurrency: int = Field(default=64, ge=1)
    """How many requests are in flight at once; the endpoint batches them."""
    trained: str | None = Field(default=None, min_length=1)
    """The endpoint's name for the trained adapter; without it, the evaluation's answers are given here."""
    compare: bool = True
    """Whether to refuse an endpoint whose greedy answers to three cases differ from the backbone's own."""

    @property
    def identity(self) -> list[Any]:
        """What answers depend on; that a name means the same model at each address is what comparing is for."""
        return ["served", self.model, self.longest_side]

    def of_trained(self) -> ServedAnswers | None:
        """Return the same endpoint where it serves the trained adapter; None where it does not."""
        return self.model_copy(update={"model": self.trained, "trained": None}) if self.trained else None
