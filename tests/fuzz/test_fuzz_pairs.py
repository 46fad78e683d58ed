"""A bounded, seeded fuzz of ready pairs: no journey changes one without a word, no row ends in a traceback."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fuzzing import fuzz
from hypothesis import example, given
from hypothesis import strategies as st
from mmedpo_plugins.readers.pairs.pairs import PairsReader
from PIL import Image

from mmedpo import GIVEN, Case, Drop, ImageRef, Pair, Region, Remark, Side
from mmedpo.core.images import hash_pixels
from mmedpo.core.records import Score, WeightedPair
from mmedpo.data.sameness import drop_uninformative
from mmedpo.errors import DataError
from mmedpo.exchange.formats import FORMATS

MARKS = sorted({mark for form in FORMATS.values() for mark in form.marks})
ODD = [
    *MARKS,
    "\u2028",
    "\u0085",
    "\r\n",
    "\n",
    "\t",
    " ",
    "\x00",
    "\ufeff",
    "e\u0301",
    "Question: ",
    "\uff39",
    "\U0001f600",
    '"',
]
TEXT = st.lists(st.one_of(st.sampled_from(ODD), st.text(max_size=5), st.just("Yes")), min_size=1, max_size=4).map(
    "".join
)
EDGE = st.sampled_from(["", "", " ", "\n", "\u2028", "<image>", "Question: "])
WORDS = st.tuples(EDGE, TEXT, EDGE).map("".join).filter(lambda text: bool(text.strip()))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=4,
)
NOTES = st.dictionaries(TEXT.filter(lambda key: key != GIVEN), JSON, max_size=2)
SHARE = st.floats(0, 1)


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> list[ImageRef]:
    """Return two films, as a run knows them."""
    folder, made = tmp_path_factory.mktemp("films"), []
    for grey in (3, 9):
        Image.new("L", (4, 4), grey).save(folder / f"{grey}.png")
        made.append(ImageRef(str(folder / f"{grey}.png"), hash_pixels(Image.new("L", (4, 4), grey))))
    return made


@contextmanager
def scratch() -> Iterator[Path]:
    """Yield a new folder; a test's own would be shared by all examples."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@st.composite
def weighted_pairs(draw: st.DrawFn, films: list[ImageRef]) -> WeightedPair:
    """Draw a pair as a run may have made it."""
    two = draw(st.booleans())
    kind = draw(st.sampled_from(["text", "image"]))
    region = Region(draw(TEXT), (0.5, 1, 2, 3), draw(SHARE), draw(st.sampled_from([None, films[1]])))
    case = Case(
        draw(WORDS),
        draw(st.sampled_from(films)),
        draw(WORDS),
        draw(WORDS),
        draw(st.sampled_from(["closed", "open", "report"])),
        draw(WORDS),
        tuple(draw(st.lists(TEXT, max_size=2))),
        (region,) * draw(st.integers(0, 1)),
        draw(st.booleans()),
        draw(NOTES),
    )
    sides = Side(films[0], draw(WORDS)), Side(films[two], draw(WORDS))
    relevance = draw(st.none() | SHARE)
    pair = Pair(case, *sides, kind, draw(WORDS), draw(st.integers(0, 9)), None, draw(NOTES))  # type: ignore[arg-type]
    return WeightedPair(pair, Score(relevance, draw(NOTES), draw(TEXT)), draw(st.floats(0, 1e6)))


def facts(pair: Pair, relevance: float | None, weight: float | None) -> dict[str, Any]:
    """Return all there is to a pair."""
    notes = {key: value for key, value in pair.notes.items() if key != GIVEN}
    case = pair.case
    shown = [hash_pixels(one.load()) for one in (case.image, pair.chosen.image, pair.rejected.image)]
    regions = [(one.label, one.box, one.confidence, one.mask and hash_pixels(one.mask.load())) for one in case.regions]
    told = [case.id, case.question, case.answer, case.kind, case.group, case.about, case.restricted, dict(case.notes)]
    sides = [pair.chosen.answer, pair.rejected.answer, pair.kind, pair.made_by, pair.number, notes]
    return {"shown": shown, "regions": regions, "case": told, "pair": sides, "score": (relevance, weight)}


@pytest.mark.parametrize("use", FORMATS)
@fuzz(20)
@given(data=st.data())
def test_a_pair_comes_back_as_it_left_or_is_counted(use: str, films: list[ImageRef], data: st.DataObject) -> None:
    item = data.draw(weighted_pairs(films))
    form, pair = FORMATS[use], item.pair
    if not form.accepts(pair):
        losses = Counter(form.find_losses(item))
        assert any("are left out" in note for note in form.describe_losses(losses, 1)), (
            "nothing is left out without a word"
        )
        return
    with scratch() as folder:
        form.write([item], folder)
        back = list(PairsReader(root=folder, restricted=False).read())
        if isinstance(drop_uninformative(pair), Drop):
            assert [type(one) for one in back] == [Drop]
            return
        (returned,) = [one for one in back if isinstance(one, Pair)]
        expected = facts(pair, item.score.relevance, item.weight)
        assert facts(returned, returned.relevance, returned.notes[GIVEN]["weight"]) == expected


def turns(speaker: str, words: str, *said: tuple[str, str]) -> list[dict[str, Any]]:
    return [{speaker: who, words: what} for who, what in said]


ASKED, NO, YES = "<image>Is there a mass?", "No", "Yes"
ROWS: list[dict[str, Any]] = [
    {
        "images": ["a.png"],
        "prompt": turns("role", "content", ("user", "Is there a mass?")),
        "chosen": turns("role", "content", ("assistant", NO)),
        "rejected": turns("role", "content", ("assistant", YES)),
    },
    {
        "images": ["a.png"],
        "messages": turns("role", "content", ("user", ASKED), ("assistant", NO)),
        "rejected_response": YES,
        "rejected_images": None,
    },
    {
        "images": ["a.png"],
        "conversations": turns("from", "value", ("human", ASKED)),
        "chosen": {"from": "gpt", "value": NO},
        "rejected": {"from": "gpt", "value": YES},
    },
    {
        "image": "a.png",
        "conversations": turns("from", "value", ("human", ASKED), ("gpt", NO)),
        "rejected_conversations": turns("from", "value", ("human", ASKED), ("gpt", YES)),
        "weighted_score": 0.5,
    },
    {"image": "a.png", "question": "Is there a mass?", "chosen": NO, "rejected": YES, "weight": 1.0},
]
SPEAKER = st.sampled_from(["user", "assistant", "system", "tool", "human", "gpt", "", None])
TURN = st.fixed_dictionaries({}, optional={"role": SPEAKER, "from": SPEAKER, "content": TEXT, "value": TEXT})
VALUE = st.one_of(JSON, st.lists(TURN, max_size=4), TURN, st.sampled_from(["b.png", "../a.png", 1e400, -1, 10**30]))
COLUMNS = sorted({key for row in ROWS for key in row} | {"id", "system", "videos", "mmedpo", "rejected_messages"})


@fuzz(250)
@example(row=ROWS[3], changes={"mmedpo": {"a": 1}})  # a column of ours beside a mark that is not
@given(row=st.sampled_from(ROWS), changes=st.dictionaries(st.sampled_from(COLUMNS), VALUE, min_size=1, max_size=2))
def test_a_row_is_read_whole_or_refused_with_its_place(row: dict[str, Any], changes: dict[str, Any]) -> None:
    changed = {**row, **changes}
    with scratch() as folder:
        Image.new("L", (4, 4)).save(folder / "a.png")
        Image.new("L", (4, 4), 9).save(folder / "b.png")
        (folder / "pairs.jsonl").write_text(json.dumps(changed))
        items, refused = read(folder)
    if refused:
        assert "pairs.jsonl:1" in refused
        return
    (pair,) = [item for item in items if not isinstance(item, Remark)]
    if isinstance(pair, Pair):
        used = [pair.case.question, pair.chosen.answer, pair.rejected.answer]
        assert all(text.strip() for text in used)
        unread = any(isinstance(item, Remark) and "not read" in item.text for item in items)
        assert unread or every_turn(changed) <= {"", *map(str.strip, used)}, "no turn is left out without a word"


def read(folder: Path) -> tuple[list[Pair | Drop | Remark], str]:
    """Return what is read, or why it is refused; nothing else may be raised."""
    try:
        return list(PairsReader(root=folder).read()), ""
    except DataError as error:
        return [], str(error)


def every_turn(row: dict[str, Any]) -> set[str]:
    """Return what is said in a row's turns, without the marks of its image; a system turn is said in a remark."""
    found = set()
    for value in row.values():
        for turn in value if isinstance(value, list) else [value]:
            if isinstance(turn, dict) and "system" not in turn.values():
                words = [turn.get(name) for name in ("content", "value")]
                found |= {text.replace("<image>", "").strip() for text in words if isinstance(text, str)}
    return found
