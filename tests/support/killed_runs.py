"""Runs whose wrong answers come from an endpoint, in processes that can be killed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from conftest import environment
from forks import Fork, Forks

from mmedpo.testing import FakeReply


def choice(picked: int, answer: str, change: str = "side") -> str:
    return json.dumps({"picked": picked, "answer": answer, "change": change})


PARTS = """
from mmedpo import Backbone, LiveBackbone, Score, Scorer, hookimpl, seed_for
from contextlib import nullcontext

class Live(LiveBackbone):
    lora_targets = projector = ""
    def answer(self, cases, *, seeds=None, **options):
        return [f"Sample {seed_for(seed, case.id) % 5}" for case, seed in zip(cases, seeds)]
    def encode(self, images, question, answer):
        raise NotImplementedError

class Chatter(Backbone):
    "Answer without a network."
    use = "chatter"
    def open(self, setting):
        return nullcontext(Live())

class Half(Scorer):
    "Rate every pair one half."
    use = "half"
    rates = frozenset({"text"})
    def score(self, pairs):
        return [Score(0.5) for _ in pairs]

@hookimpl
def mmedpo_backbones():
    return [Chatter]

@hookimpl
def mmedpo_scorers():
    return [Half]
"""
RECIPE = """
output: runs/x
data: {{use: phantom, split: train, images: 20}}
backbone: {{use: chatter}}
disprefer:
  - {{use: gpt4o-hallucination, model: m, base_url: "{url}", key_from: PLANTED, samples: 2, concurrency: 8, timeout: 2}}
score: [{{use: half}}]
"""
KEY = "sk-planted-9876543210"


class Runs:
    """A recipe and a folder; runs in processes that can be killed."""

    def __init__(self, folder: Path, url: str, forks: Forks) -> None:
        from mmedpo.testing import fake_package

        self.folder, self.forks, site = folder, forks, folder / "site"
        site.mkdir(parents=True)
        points = {"mmedpo.backbones": {"chatter": "chatter_parts"}, "mmedpo.scorers": {"half": "chatter_parts"}}
        fake_package(site, "chatter-parts", {"chatter_parts": PARTS}, points)
        (folder / "recipe.yaml").write_text(RECIPE.format(url=url).lstrip())
        self.environment = {**environment(site), "PLANTED": KEY}

    def start(self, *more: str) -> Fork:
        return self.forks.start(["-m", "mmedpo", "run", "recipe.yaml", *more], self.folder, self.environment)

    def finish(self, *more: str) -> str:
        process = self.start(*more)
        out, err = process.communicate()
        assert process.returncode == 0, err
        return out + err

    def pairs(self, output: str = "x") -> str:
        return (self.folder / "runs" / output / "pairs.jsonl").read_text()

    def files(self) -> list[Path]:
        return [path for path in self.folder.rglob("*") if path.is_file()]


def wrong_answer(request: dict[str, Any]) -> FakeReply:
    """Answer as a good model would."""
    truth = re.search(r"Correct answer: (.*)", request["messages"][1]["content"][0]["text"])
    assert truth
    turned = {"yes": "No", "no": "Yes"}.get(truth[1].strip(".").lower())
    return FakeReply(text=choice(0, turned or " ".join(["other"] * len(truth[1].split()))), delay=0.03)
