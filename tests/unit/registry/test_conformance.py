"""What a part returns is checked where it enters, and a breach is blamed on the part by name."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from fractions import Fraction
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mmedpo_plugins.dispreferences.lesion_noise.lesion_noise import LesionNoise
from mmedpo_plugins.dispreferences.mirror import ImageMirror
from mmedpo_plugins.dispreferences.opposite_answer import OppositeAnswer
from mmedpo_plugins.dispreferences.other_images import BlankImage, ImageSwap
from mmedpo_plugins.dispreferences.self_hallucination import SelfHallucination
from mmedpo_plugins.phantom.backbone import PhantomBackbone

from mmedpo import (
    Answer,
    Backbone,
    Case,
    Dispreference,
    Drop,
    Encoding,
    LiveBackbone,
    Localizer,
    Metric,
    Pair,
    PluginError,
    Reader,
    Region,
    Score,
    Scorer,
    Setting,
    Side,
    Weighting,
)
from mmedpo.errors import DataError
from mmedpo.registry.conformance.backbone import check_answers
from mmedpo.registry.conformance.metric import CheckedMetric
from mmedpo.registry.conformance.scorer import check_scores
from mmedpo.registry.declarations import check_declarations
from mmedpo.registry.discovery import find_parts, load_part, resolve_part
from mmedpo.registry.kinds import KINDS
from mmedpo.registry.plugin_info import PluginInfo
from mmedpo.store.run_folder import write_json
from mmedpo.testing import TinyBackbone, check_part, tiny_cases, tiny_pairs


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


NAN = float("nan")
ODD: dict[str, Any] = {
    "nan": NAN,
    "none": None,
    "text": "0.5",
    "infinite": float("inf"),
    "complex": 1j,
    "huge": 10**400,
    "list": [0.5],
    "mapping": {},
    "object": object(),
    "negative": -0.5,
    "zero": 0.0,
}
NO_NUMBERS = [name for name in ODD if name not in ("negative", "zero")]


class Recalls(Metric):
    """Return what it is told, as counts or as measures."""

    use = "recalls"
    additive = True
    statistic: str = ""
    measured: str = ""
    told: str = ""

    def measure(self, cases: Sequence[Case], answers: Sequence[str]) -> Any:
        return None if self.statistic == "nothing" else [{"n": ODD.get(self.statistic, 1.0)} for _ in cases]

    def combine(self, statistics: Sequence[Any]) -> Any:
        return None if self.measured == "nothing" else {"recall": ODD.get(self.measured, 0.5)}

    def cautions(self, before: Any, after: Any) -> Any:
        return self.told or []


@pytest.mark.parametrize("odd", NO_NUMBERS)
@pytest.mark.parametrize("where", ["statistic", "measured"])
def test_whatever_a_metric_counts_and_measures_is_a_finite_number(where: str, odd: str) -> None:
    check_part(Recalls())
    with pytest.raises(PluginError, match=r"metric 'recalls'.*leave out what is not defined"):
        check_part(Recalls(**{where: odd}))


@pytest.mark.parametrize("options", [{"statistic": "nothing"}, {"measured": "nothing"}, {"told": "careful"}], ids=str)
def test_a_metric_returns_lists_and_mappings(options: dict[str, Any]) -> None:
    with pytest.raises(PluginError, match="metric 'recalls'"):
        check_part(Recalls(**options))


@pytest.mark.parametrize("number", [np.float32(0.5), np.int64(1), np.bool_(True), np.array(0.5), True, Fraction(1, 2)])
def test_numbers_of_numpy_are_taken_and_become_pythons_own(number: Any) -> None:
    plugin = resolve_part(KINDS["metric"], "med-vqa")
    ODD["number"] = number
    metric = CheckedMetric(Recalls(statistic="number", measured="number"), plugin)
    (row,) = metric.measure(tiny_cases(1), ["Yes"])
    assert {type(value) for value in (*row.values(), *metric.combine([row]).values())} == {float}
    (score,) = check_scores(plugin, tiny_pairs("text", 1), [Score(number, {"votes": [number]})])
    assert json.dumps(score.evidence, allow_nan=False)
    assert type(score.relevance) is float


class Peaks(Metric):
    """Say that a maximum is a sum."""

    use = "peaks"
    additive = True

    def measure(self, cases: Sequence[Case], answers: Sequence[str]) -> Any:
        return [{"n": float(len(answer))} for answer in answers]

    def combine(self, statistics: Sequence[Any]) -> Any:
        return {"peak": max((row["n"] for row in statistics), default=0.0)}


def test_a_metric_that_says_it_is_additive_and_is_not_is_found() -> None:
    with pytest.raises(PluginError, match="says it is additive"):
        check_part(Peaks())


class Draws(Dispreference):
    """Make pairs in a way of its own."""

    use = "draws"
    makes = "text"
    how: str

    def disprefer(self, cases: Sequence[Case], backbone: Any, earlier: Any) -> Any:
        return None if self.how == "nothing" else self._each(cases)

    def _each(self, cases: Sequence[Case]) -> Iterator[Pair | Drop]:
        for case, pair in zip(cases, tiny_pairs("text", len(cases)), strict=True):
            first = Side(cases[0].image, case.answer)
            more = {
                "forgets": [pair] if case is cases[0] else [],
                "forgets all": [],
                "first film": [replace(pair, chosen=first, rejected=replace(first, answer="Perhaps"))],
                "first case": [replace(pair, case=cases[0])],
                "another question": [replace(pair, case=replace(case, question="And now?"))],
                "not restricted": [replace(pair, case=replace(case, notes={"mine": 1}))],
                "two films": [replace(pair, rejected=replace(pair.rejected, image=cases[0].image))],
                "too many": [pair, replace(pair, number=1)],
                "both": [pair, Drop(case.id, "and yet")],
                "two drops": [Drop(case.id, "one"), Drop(case.id, "two")],
                "no reason": [Drop(case.id, None)],  # type: ignore[arg-type]
                "notes of NaN": [replace(pair, notes={"contradiction": NAN})],
                "notes of objects": [replace(pair, notes={"by": object()})],
                "relevance of NaN": [replace(pair, relevance=NAN)],
                "no side": [replace(pair, rejected="No")],  # type: ignore[arg-type]
                "no text": [replace(pair, rejected=replace(pair.rejected, answer=0))],  # type: ignore[arg-type]
                "half a character": [replace(pair, rejected=replace(pair.rejected, answer="No \ud800"))],
            }[self.how]
            yield from more


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("nothing", "returned NoneType, not pairs and drops"),
        ("forgets", "neither a pair nor a Drop with its reason for 3 of 4 cases, the first is 'tiny-1'"),
        ("forgets all", "for 4 of 4 cases"),
        ("first film", "the film of another case on its chosen side"),
        ("first case", "the film of another case on its chosen side"),
        ("another question", "another case than it was given"),
        ("not restricted", "another case than it was given"),
        ("two films", "a text pair with two images"),
        ("too many", "2 pairs of case 'tiny-0'; it says pairs_a_case = 1"),
        ("both", "a drop of case 'tiny-0' and more beside it"),
        ("two drops", "a drop of case 'tiny-0' and more beside it"),
        ("no reason", "reason of the drop of case 'tiny-0' is None, not a text"),
        ("notes of NaN", "notes of a pair of case 'tiny-0' is nan"),
        ("notes of objects", "which JSON does not hold"),
        ("relevance of NaN", "is nan, outside"),
        ("no side", "rejected side of a pair of case 'tiny-0' is str 'No', not a Side"),
        ("no text", "is int 0, not a text"),
        ("half a character", "which holds half a character"),
    ],
)
def test_a_dispreference_accounts_for_each_case_and_for_no_other(how: str, said: str) -> None:
    with pytest.raises(PluginError, match="dispreference 'draws'") as caught:
        check_part(Draws(how=how))
    assert said in str(caught.value)


class Odd(Weighting):
    """Give every pair one odd weight."""

    use = "odd"
    weight: str

    def weigh(self, scores: Sequence[Score]) -> Any:
        return [ODD[self.weight]] * len(scores)


@pytest.mark.parametrize("weight", [name for name in ODD if name != "number"])
def test_a_weight_is_a_number_and_not_every_one_is_zero(weight: str) -> None:
    with pytest.raises(PluginError, match="weighting 'odd'"):
        check_part(Odd(weight=weight))


CHANGES: list[dict[str, Any]] = [
    {"id": 7},
    {"question": None},
    {"answer": NAN},
    {"kind": "Closed"},
    {"group": 3},
    {"about": "nodule"},
    {"about": (1,)},
    {"restricted": None},
    {"regions": [None]},
    {"regions": (Region("nodule", (0, 0, NAN, 1)),)},
    {"regions": (Region("nodule", (0, 0, 1)),)},  # type: ignore[arg-type]
    {"image": "film.png"},
    {"notes": {"age": NAN}},
    {"notes": None},
]


class OddReader(Reader):
    """Yield a case with one odd field."""

    use = "odd"
    change: int

    def read(self) -> Iterator[Case]:
        yield replace(tiny_cases(1)[0], **CHANGES[self.change])


@pytest.mark.parametrize("change", range(len(CHANGES)))
def test_a_case_of_a_reader_is_what_its_fields_say(change: int) -> None:
    with pytest.raises(PluginError, match="reader 'odd'"):
        check_part(OddReader(change=change))


class Speaks(Backbone):
    """Open to a backbone that answers as it is told."""

    use = "speaks"
    how: str = "fine"

    def open(self, setting: Setting) -> Any:
        part = self

        class Live(TinyBackbone):
            def answer(self, cases: Sequence[Case], **options: Any) -> Any:
                answers = {"short": ["No"], "numbers": [0] * len(cases), "nothing": None}
                return answers.get(part.how, ["No"] * len(cases))

            def encode(self, image: Any, question: str, answer: str) -> Any:
                return {
                    "no answer": Encoding([1, 2, 3], 3, {}),
                    "half a token": Encoding([1, 2.5, 3], 1, {}),  # type: ignore[list-item]
                    "vision": Encoding([1, 2, 3], 1, None),  # type: ignore[arg-type]
                }.get(part.how, Encoding([1, 2, 3], 1, {}))

        return nullcontext(object() if self.how == "an object" else Live())


@pytest.mark.parametrize("how", ["short", "numbers", "nothing", "no answer", "half a token", "vision", "an object"])
def test_a_backbone_answers_each_case_and_encodes_an_answer(how: str) -> None:
    check_part(Speaks())
    with pytest.raises(PluginError, match="backbone 'speaks'"):
        check_part(Speaks(how=how))


def test_evidence_that_nests_within_itself_is_refused() -> None:
    evidence: dict[str, Any] = {}
    evidence["again"] = evidence
    with pytest.raises(PluginError, match="nested too deep"):
        check_scores(resolve_part(KINDS["scorer"], "med-llm-vote"), tiny_pairs("text", 1), [Score(0.5, evidence)])


def test_no_json_file_holds_a_bare_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "measures.json", {"recall": NAN})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("plugin", [one for one in find_parts() if one.kind.name in ("weighting", "metric")], ids=str)
def test_built_in_weightings_and_metrics_keep_the_contract(plugin: PluginInfo) -> None:
    if plugin.name == "radeval":
        pytest.skip("needs the package radeval")
    check_part(load_part(plugin)())


@pytest.mark.parametrize(
    "part", [SelfHallucination(samples=2), OppositeAnswer(), ImageMirror(), ImageSwap(), BlankImage(), LesionNoise()]
)
def test_built_in_dispreferences_keep_the_contract(part: Dispreference) -> None:
    check_part(part)


def test_the_phantom_keeps_the_contract_of_a_backbone() -> None:
    check_part(PhantomBackbone())


class Undeclared(Dispreference):
    """Say odd things of itself."""

    use = "undeclared"

    def disprefer(self, cases: Sequence[Case], backbone: Any, earlier: Any) -> Any:
        return iter(())


SAID = [{}, {"makes": "both"}, {"pairs_a_case": None}, {"pairs_a_case": 0}, {"pairs_a_case": True}, {"slice_size": 0}]


@pytest.mark.parametrize("said", SAID, ids=str)
def test_a_dispreference_says_what_it_makes_and_how_many(said: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (({"makes": "text"} if said else {}) | said).items():
        monkeypatch.setattr(Undeclared, name, value, raising=False)
    with pytest.raises(PluginError, match="dispreference 'undeclared'"):
        check_part(Undeclared())


def test_what_depends_on_the_options_is_a_property() -> None:
    class Either(Makes):
        makes = property(lambda part: "image")  # type: ignore[assignment]

    check_declarations(PluginInfo(KINDS["dispreference"], "makes", "acme", "1", EntryPoint("", "", "")), Either)


def test_a_reader_says_whether_it_yields_cases_or_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OddReader, "yields", "rows")
    with pytest.raises(PluginError, match="says 'rows' for `yields`: Input should be 'cases' or 'pairs'"):
        check_part(OddReader(change=0))


@pytest.mark.parametrize("rates", ["text", {"sound"}, set(), None], ids=str)
def test_a_scorer_says_which_kinds_of_pair_it_rates(rates: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Returns, "rates", rates)
    with pytest.raises(PluginError, match="`rates`"):
        check_part(Returns(what="fine"))


@pytest.mark.parametrize("said", [{"better": 1}, {"better": {"recall": "more"}}, {"additive": "yes"}], ids=str)
def test_a_metric_says_which_way_is_better(said: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in said.items():
        monkeypatch.setattr(Recalls, name, value)
    with pytest.raises(PluginError, match="metric 'recalls'"):
        check_part(Recalls())


def test_half_a_character_in_a_models_answer_is_replaced_and_its_cut_is_kept() -> None:
    said = [Answer("a nodule \ud83d", cut=True), "No"]
    answers = check_answers(resolve_part(KINDS["backbone"], "phantom"), tiny_cases(2), said)
    assert answers == ["a nodule \ufffd", "No"]
    assert [answer.cut for answer in answers] == [True, False]
