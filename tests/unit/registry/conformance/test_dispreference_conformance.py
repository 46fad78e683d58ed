"""A dispreference accounts for each case, and makes pairs of the kind that it says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib.metadata import EntryPoint
from typing import Any

import pytest
from odd_numbers import NAN

from mmedpo import Case, Dispreference, Drop, Pair, PluginError, Side
from mmedpo.registry.classes.declarations import check_declarations
from mmedpo.registry.conformance.dispreference import check_pairs
from mmedpo.registry.kinds import KINDS
from mmedpo.registry.plugin_info import PluginInfo
from mmedpo.testing import check_part, tiny_cases, tiny_pairs
from mmedpo.testing.tiny import make_pair


class Makes(Dispreference):
    """Yield what it is told."""

    use = "makes"
    makes = "image"
    what: str
    """What is tried."""

    def disprefer(self, cases: Sequence[Case], backbone: Any, earlier: Any) -> Iterator[Pair | Drop]:
        if not cases:
            return
        image, text = make_pair(cases[0], "image"), make_pair(cases[0], "text")
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


def test_a_pair_shows_as_many_images_as_its_case_on_both_sides() -> None:
    first, second = tiny_cases(2)
    several, part = replace(first, more_images=second.images), Draws(how="forgets")
    plugin = PluginInfo(KINDS["dispreference"], "draws", "a package", "0", EntryPoint("", "", ""))
    whole = Pair(several, several.side("Yes"), several.side("No"), "text")
    assert list(check_pairs(plugin, part, [whole], [several])) == [whole]
    for pair in (
        replace(whole, chosen=first.side("Yes"), rejected=first.side("No")),
        replace(whole, rejected=first.side("No")),
    ):
        with pytest.raises(PluginError, match=r"has 2 images, and its pair|a text pair with two images"):
            list(check_pairs(plugin, part, [pair], [several]))


class Draws(Dispreference):
    """Make pairs in a way of its own."""

    use = "draws"
    makes = "text"
    how: str
    """What is tried."""

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
