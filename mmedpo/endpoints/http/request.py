"""What an endpoint is asked, before its image is encoded and the request written in the endpoint's dialect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mmedpo.core.images import ImageRef

Messages = list[dict[str, Any]]


@dataclass(frozen=True)
class ChatRequest:
    """What an endpoint is asked; the messages hold texts, and the first that the user says is about the picture."""

    messages: Messages
    picture: ImageRef | None
    limit: int  # tokens of the answer at most
    temperature: float
    schema: Mapping[str, Any] | None = None  # of the answer, where it is to be JSON
    bare: bool = False  # as a backbone is asked: the image first, and nothing changes the model's probabilities
    seed: int | None = None  # of an answer that is sampled

    def show(self, image: Mapping[str, Any]) -> Messages:
        """Return the messages with the image, as a part of one, beside the text that is about it."""
        at = next(index for index, message in enumerate(self.messages) if message["role"] == "user")
        text = {"type": "text", "text": self.messages[at]["content"]}
        parts = [image, text] if self.bare else [text, image]
        return [*self.messages[:at], {"role": "user", "content": parts}, *self.messages[at + 1 :]]
