"""A small recipe whose parts ask an endpoint, and a server that answers them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mmedpo.testing import FakeEndpoint, FakeReply

RECIPE = """
output: run
data: {{use: phantom, images: 3}}
backbone: {{use: phantom}}
{budget}
disprefer:
  - {{use: gpt4o-hallucination, model: m, base_url: "{url}", samples: 1, max_new_tokens: 8, concurrency: {concurrency}}}
score:
  - use: med-llm-vote
    rounds: 2
    order: fixed
    voters: [{{kind: openai, model: judge, base_url: "{url}"}}, {{kind: rules}}]
weigh: {{use: uniform}}
"""


def answer(request: dict[str, Any]) -> str:
    said = request["messages"][1]["content"]
    asked = said if isinstance(said, str) else said[0]["text"]
    if "clinically relevant" in asked:
        return json.dumps({"score": 3, "reason": "No great harm."})
    truth = asked.split("Correct answer: ")[1].split("\n")[0]
    wrong = {"Yes": "No", "No": "Yes"}.get(truth.strip(" ."), "Nothing of the kind")
    return json.dumps({"picked": 0, "answer": wrong, "change": "presence"})


def act(request: dict[str, Any], before: int) -> FakeReply:
    return FakeReply(text=answer(request))


def write(folder: Path, server: FakeEndpoint, budget: str = "", concurrency: int = 4) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(RECIPE.format(url=server.url, budget=budget, concurrency=concurrency))
    return path
