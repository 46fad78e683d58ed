"""An OpenAI-compatible server with backbones behind it: what it answers, they do."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from PIL import Image

from mmedpo import Case, ImageRef
from mmedpo.core.answers import was_cut
from mmedpo.registry.contracts.backbone import LiveBackbone
from mmedpo.testing import FakeEndpoint, FakeReply, fake_endpoint

Acts = Callable[[dict[str, Any], int], FakeReply]


def answer_with(models: Mapping[str, LiveBackbone]) -> Acts:
    """Answer as the model does whose name is asked for; of another name, as vLLM does."""

    def act(request: dict[str, Any], before: int) -> FakeReply:
        if request["model"] not in models:
            return FakeReply(404, f"The model `{request['model']}` does not exist.")
        (message,) = request["messages"]
        shown, asked = message["content"]
        case = Case("served", read_picture(shown), asked["text"], "")
        settings = {"max_new_tokens": request["max_tokens"], "temperature": request["temperature"]}
        seeds = [request["seed"]] if request["temperature"] else None
        (said,) = models[request["model"]].answer([case], seeds=seeds, **settings)
        return FakeReply(text=said, finish="length" if was_cut(said) else "stop")

    return act


def read_picture(part: Mapping[str, Any]) -> ImageRef:
    """Read the image of a message's part, which must hold it whole."""
    kind, _, content = part["image_url"]["url"].partition(";base64,")
    assert (part["type"], kind) == ("image_url", "data:image/png")
    return ImageRef.drawn(Image.open(io.BytesIO(base64.b64decode(content))))


@contextmanager
def serving_models(**models: LiveBackbone) -> Iterator[FakeEndpoint]:
    """Run a server in a thread; the models by their names there."""
    with fake_endpoint(answer_with(models)) as server:
        yield server
