"""What an endpoint is asked, before its image is encoded and the request written in the endpoint's dialect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmedpo.core.images import ImageRef

Messages = list[dict[str, Any]]


@dataclass(frozen=True)
class ChatRequest:
    """What an endpoint is asked; the messages hold texts, and the first that the user says is about the pictures."""

    messages: Messages
    pictures: Sequence[ImageRef]
    limit: int  # tokens of the answer at most
    temperature: float
    schema: Mapping[str, Any] | None = None  # of the answer, where it is to be JSON
    bare: bool = False  # as a backbone is asked: the images first, and nothing changes the model's probabilities
    seed: int | None = None  # of an answer that is sampled

    def show(self, images: Sequence[Mapping[str, Any]]) -> Messages:
        """Return the messages with the images, as parts of one, beside the text that is about them."""
        at = next(index for index, message in enumerate(self.messages) if message["role"] == "user")
        text = {"type": "text", "text": self.messages[at]["content"]}
        parts = [*images, text] if self.bare else [text, *images]
        return [*self.messages[:at], {"role": "user", "content": parts}, *self.messages[at + 1 :]]
