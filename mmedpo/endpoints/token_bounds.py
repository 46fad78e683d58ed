"""How many tokens a request can take at most, counted without its model's tokenizer."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pydantic import BaseModel

from mmedpo.core.usage import Usage
from mmedpo.endpoints.structured import describe_shape, strict_schema

if TYPE_CHECKING:
    from mmedpo.endpoints.options import Endpoint

BYTES = 2  # of UTF-8 that a token has at least, in ordinary text: English has about 4, Chinese 1 to 2 characters
MESSAGE = 16  # tokens of a message beside its text
TILE, TILE_TOKENS, IMAGE_BASE = 512, 170, 85  # OpenAI's rule for GPT-4o's images
COMPLAINT = 100  # tokens of telling a model what was wrong


def bound_text_tokens(text: str) -> int:
    """Return how many tokens a text has at most."""
    return math.ceil(len(text.encode(errors="surrogatepass")) / BYTES) + MESSAGE


def bound_image_tokens(endpoint: Endpoint) -> int:
    """Return how many tokens an image takes at most, as OpenAI counts them for GPT-4o; other models differ."""
    if endpoint.detail == "low":
        return IMAGE_BASE
    longer, shorter = min(endpoint.longest_side, 2048), min(endpoint.longest_side, 768)
    return IMAGE_BASE + TILE_TOKENS * math.ceil(longer / TILE) * math.ceil(shorter / TILE)


def bound_usage(endpoint: Endpoint, system: str, text: str, shape: type[BaseModel], *, images: int = 0) -> Usage:
    """Return what one question can take at most: every repair used, every answer at its limit."""
    schema = "" if endpoint.structured == "prompt" else str(strict_schema(shape))
    prompt = bound_text_tokens(system) + bound_text_tokens(text + describe_shape(shape)) + bound_text_tokens(schema)
    prompt += images * bound_image_tokens(endpoint)
    tries = endpoint.repairs + 1
    again = sum(attempt * (endpoint.max_tokens + COMPLAINT + 2 * MESSAGE) for attempt in range(tries))
    return Usage(tries, (tries * prompt + again, tries * endpoint.max_tokens))


def make_filler(tokens: int) -> str:
    """Return a text that counts as so many tokens."""
    return "x" * (BYTES * tokens)
