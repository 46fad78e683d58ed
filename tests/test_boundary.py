"""What a part returns is checked where it enters, and a breach is blamed on the part by name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from mmedpo import (
    Case,
    Dispreference,
    Drop,
    LiveBackbone,
    Localizer,
    Metric,
    Pair,
    PluginError,
    Reader,
    Region,
    Score,
    Scorer,
    Weighting,
)
from mmedpo.errors import DataError
from mmedpo.testing import check_part, tiny_cases, tiny_pairs


class Returns(Scorer):
    """Return what it is told."""

    use = "returns"
    rates = frozenset({"text"})
    what: Any = None

    def score(self, pairs: Sequence[Pair]) -> Any:
        return {
            "short": [Score(0.5)] * (len(pairs) - 1),
            "nan": [Score(float("nan"))] * len(pairs),
            "above one": [Score(1.2)] * len(pairs),
            "numbers": [0.5] * len(pairs),
            "nothing": None,
            "fine": [Score(0.5)] * len(pairs),
            "abstains": [Score(None)] * len(pairs),
        }[self.what]


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("short", "3 results for 4 items"),
        ("nan", "relevance of pair 'tiny-0/tiny/0' is nan, outside"),
        ("above one", "relevance of pair 'tiny-0/tiny/0' is 1.2, outside"),
        ("numbers", "score gave float, not Score"),
        ("nothing", "score returned NoneType, not a list"),
    ],
)
def test_a_scorer_that_breaks_the_contract_is_blamed(what: str, said: str) -> None:
    with pytest.raises(PluginError, match="scorer 'returns'") as caught:
        check_part(Returns(what=what))
    assert said in str(caught.value)


@pytest.mark.parametrize("what", ["fine", "abstains"])
def test_a_scorer_that_keeps_the_contract_passes(what: str) -> None:
    check_part(Returns(what=what))


class Makes(Dispreference):
    """Yield what it is told."""

    use = "makes"
    makes = "image"
    what: str

    def disprefer(self, cases: Sequence[Case], backbone: Any, earlier: Any) -> Iterator[Pair | Drop]:
        image, text = tiny_pairs("image", 1)[0], tiny_pairs("text", 1)[0]
        yield {
            "fine": image,
            "drop": Drop(cases[0].id, "no region"),
            "unchanged image": replace(image, rejected=image.chosen),
            "empty answer": replace(image, rejected=replace(image.rejected, answer=" ")),
            "other kind": text,
            "stranger": replace(image, case=replace(image.case, id="stranger")),
            "case": cases[0],  # type: ignore[dict-item]
        }[self.what]
        yield from (Drop(case.id, "one is enough") for case in cases[1:])


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("unchanged image", "an unchanged image"),
        ("empty answer", "an empty rejected answer"),
        ("other kind", "is of kind 'text'; the part makes 'image'"),
        ("stranger", "which it was not given"),
        ("case", "yielded Case, not Pair or Drop"),
    ],
)
def test_a_dispreference_that_breaks_the_contract_is_blamed(what: str, said: str) -> None:
    with pytest.raises(PluginError, match="dispreference 'makes'") as caught:
        check_part(Makes(what=what))
    assert said in str(caught.value)


@pytest.mark.parametrize("what", ["fine", "drop"])
def test_a_dispreference_that_keeps_the_contract_passes(what: str) -> None:
    check_part(Makes(what=what))


class Finds(Localizer):
    """Find the same region everywhere."""

    use = "finds"
    confidence: float = 0.5
    right: float = 9

    def localize(self, cases: Sequence[Case], backbone: LiveBackbone | None) -> list[list[Region]]:
        return [[Region("nodule", (1, 1, self.right, 9), self.confidence)] for _ in cases]


@pytest.mark.parametrize(("options", "said"), [({"confidence": 1.5}, "confidence 1.5"), ({"right": 0}, "empty box")])
def test_a_localizer_that_breaks_the_contract_is_blamed(options: dict[str, float], said: str) -> None:
    check_part(Finds())
    with pytest.raises(PluginError, match="localizer 'finds'") as caught:
        check_part(Finds(**options))
    assert said in str(caught.value)


class Weighs(Weighting):
    """Give every pair one weight."""

    use = "weighs"
    weight: float = 1

    def weigh(self, scores: Sequence[Score]) -> list[float]:
        return [self.weight] * len(scores)


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf")])
def test_a_weight_is_finite_and_not_negative(weight: float) -> None:
    check_part(Weighs())
    with pytest.raises(PluginError, match="weighting 'weighs'"):
        check_part(Weighs(weight=weight))


class Counts(Metric):
    """Count the cases."""

    use = "counts"

    def measure(self, cases: Sequence[Case], answers: Sequence[str]) -> list[dict[str, float]]:
        return [{"count": 1.0} for _ in cases]

    def combine(self, statistics: Sequence[Any]) -> dict[str, float]:
        return {"count": float(sum(row["count"] for row in statistics))}


def test_a_metric_that_keeps_the_contract_passes() -> None:
    check_part(Counts())


class Reads(Reader):
    """Yield what it is told."""

    use = "reads"
    what: str = "fine"

    def read(self) -> Iterator[Any]:
        cases = tiny_cases(3)
        yield from {
            "fine": cases,
            "twice": [*cases, cases[0]],
            "nothing": [],
            "mixed": [*cases, tiny_pairs("text", 1)[0]],
            "empty answer": [replace(cases[0], answer="")],
        }[self.what]


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("twice", "'tiny-0' stands twice"),
        ("nothing", "there is nothing to read"),
        ("mixed", "cases and pairs"),
        ("empty answer", "case 'tiny-0' has an empty answer"),
    ],
)
def test_a_reader_that_breaks_the_contract_is_blamed(what: str, said: str) -> None:
    check_part(Reads())
    with pytest.raises((PluginError, DataError), match="reader 'reads'") as caught:
        check_part(Reads(what=what))
    assert said in str(caught.value)
