"""What a scorer returns is checked where it enters, and a breach is blamed on it by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from mmedpo import Pair, PluginError, Score, Scorer
from mmedpo.registry.conformance.scorer import check_scores
from mmedpo.registry.discovery import resolve_part
from mmedpo.registry.kinds import KINDS
from mmedpo.testing import check_part, tiny_pairs


class Returns(Scorer):
    """Return what it is told."""

    use = "returns"
    rates = frozenset({"text"})
    what: Any = None
    """What is tried."""

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


def test_evidence_that_nests_within_itself_is_refused() -> None:
    evidence: dict[str, Any] = {}
    evidence["again"] = evidence
    with pytest.raises(PluginError, match="nested too deep"):
        check_scores(resolve_part(KINDS["scorer"], "med-llm-vote"), tiny_pairs("text", 1), [Score(0.5, evidence)])


@pytest.mark.parametrize("rates", ["text", {"sound"}, set(), None], ids=str)
def test_a_scorer_says_which_kinds_of_pair_it_rates(rates: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Returns, "rates", rates)
    with pytest.raises(PluginError, match="`rates`"):
        check_part(Returns(what="fine"))
