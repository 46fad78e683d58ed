"""What breaks a contract on an edge alone is found by `check_part`, under the name of its check."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import pytest

from mmedpo import Answer, Backbone, Case, Dispreference, Pair, Score, Scorer, Setting
from mmedpo.testing import examine_part
from mmedpo.testing.tiny_network import make_tiny_network


class Edgy(Scorer):
    """Break on one edge."""

    use = "edgy"
    rates = frozenset({"text", "image"})
    edge: str = ""
    """Which one."""

    def score(self, pairs: Sequence[Pair]) -> list[Score]:
        match self.edge:
            case "an empty batch":
                return [Score(0.5)] * max(len(pairs), 1)
            case "one alone" if len(pairs) == len(self.rates):
                raise ValueError("a batch of one")
            case "one twice":
                assert len({pair.case.image.sha256 for pair in pairs}) * 2 == len(pairs)
            case "any script":
                [pair.case.answer.encode("latin-1") for pair in pairs]
            case "any film":
                assert all(pair.case.regions for pair in pairs)
            case "the same again":
                return [Score(random.random()) for _ in pairs]
            case "any order":
                return [Score(place / len(pairs)) for place, _ in enumerate(pairs)]
            case "restricted cases":
                self._send()
            case "out of memory" | "interrupt":
                return [self._look(pair) for pair in pairs]
        return [Score(0.5) for _ in pairs]

    def _send(self) -> None:
        with suppress(OSError):
            socket.create_connection(("192.0.2.7", 80), timeout=0.1)

    def _look(self, pair: Pair) -> Score:
        with suppress(Exception if self.edge == "out of memory" else BaseException):
            pair.chosen.image.load()
        return Score(0.5)


EDGES = [
    "an empty batch", "one alone", "one twice", "any script", "any film", "the same again", "any order",
    "restricted cases", "out of memory", "interrupt",
]  # fmt: skip


def list_broken(part: Any) -> dict[str, str]:
    """Return what is told of each check that is broken."""
    return {check.name: check.told for check in examine_part(part) if check.outcome == "broken"}


def test_a_part_that_keeps_to_its_contract_breaks_on_no_edge() -> None:
    assert list_broken(Edgy()) == {}


@pytest.mark.parametrize("edge", EDGES)
def test_what_breaks_on_an_edge_is_named_by_it(edge: str) -> None:
    assert list_broken(Edgy(edge=edge))[edge].startswith("scorer 'edgy' of")


class Stumbles(Dispreference):
    """Leave a file behind, over which the next process stumbles."""

    use = "stumbles"
    makes = "text"
    mark: Path
    """The file."""

    @contextmanager
    def open(self, setting: Setting) -> Iterator[Any]:
        stumbles = self.mark.exists()
        self.mark.touch()
        yield self if not stumbles else nullcontext
        self.mark.unlink()

    def disprefer(self, cases: Sequence[Case], backbone: Any, earlier: Any) -> list[Any]:
        return [Pair(case, case.side(case.answer), case.side("Perhaps"), "text") for case in cases]


def test_what_a_kill_leaves_behind_is_found(tmp_path: Path) -> None:
    assert set(list_broken(Stumbles(mark=tmp_path / "mark"))) >= {"kill"}


class Faulty(Backbone):
    """A backbone of which one thing is wrong."""

    use = "faulty"
    fault: str = ""
    """What."""

    def open(self, setting: Setting) -> Any:
        live: Any = make_tiny_network(image_tokens=3 if self.fault == "image tokens" else 4)
        answer, encode = live.answer, live.encode
        match self.fault:
            case "the longest answer":
                live.answer = lambda cases, **options: [str(one) for one in answer(cases, **options)]
            case "seeds":
                live.answer = lambda cases, seeds=None, **options: answer(
                    cases, seeds=seeds or [random.getrandbits(32) for _ in cases], **options
                )
            case "agreement":
                live.answer = lambda cases, **options: [Answer(f"x{one}", one.cut) for one in answer(cases, **options)]
            case "encoding":
                live.encode = lambda images, question, said: encode(images, question + said, said)
            case "token places":
                live.token_places = lambda size: make_tiny_network().token_places(size).__class__(9, [])
            case "names":
                live.lora_targets = "q_proj"
            case "batches":
                live.collate = lambda vision: {
                    key: value.flip(0) for key, value in type(live).collate(live, vision).items()
                }
        return nullcontext(live)


@pytest.mark.parametrize(
    "fault",
    ["image tokens", "the longest answer", "seeds", "agreement", "encoding", "token places", "names", "batches"],
)
def test_what_is_wrong_with_a_backbone_is_named(fault: str) -> None:
    broken = list_broken(Faulty(fault=fault))
    assert broken[fault].startswith("backbone 'faulty' of")


def test_a_backbone_that_is_whole_keeps_its_contract() -> None:
    assert list_broken(Faulty()) == {}
