"""Pairs whose sides differ only in how they are written teach nothing: left out and counted, whoever made them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Mmedpo
from mmedpo_plugins.readers.pairs.pairs import PairsReader
from PIL import Image

from mmedpo import Case, Drop, ImageRef, Pair, Remark, Side
from mmedpo.data import drop_uninformative, fold_text
from mmedpo.errors import DataError
from mmedpo.events import StageCount
from mmedpo.registry.conformance.reader import DataSetCheck
from mmedpo.registry.discovery import find_parts
from mmedpo.registry.kinds import KINDS
from mmedpo.store.run_files.record import RunRecord
from mmedpo.testing import fake_package

FILM, NOISED = ImageRef(sha256="film"), ImageRef(sha256="noised")
PAIR = Pair(Case("c", FILM, "Is there a nodule?", "No"), Side(FILM, "No"), Side(FILM, "Yes"), "text", "one")

ALIKE = [
    ("no", "No."),
    ("Yes", " YES! "),
    ("Yes, a mass.", "yes a mass"),
    ("caf\u00e9", "cafe\u0301"),
    ("\uff39\uff45\uff53\uff01", "Yes"),
    ("No\u00a0mass", "No mass"),
    ("**No**", "No"),
    ('"No"', "\u201cno\u201d"),
    ("No\u200b", "No"),
    ("\u662f\u3002", "\u662f"),
    ("Stra\u00dfe", "STRASSE"),
    ("The \ufb01nding", "the finding"),
    ("5", "5."),
    ("(5)", "5"),
    ("x-ray", "X ray"),
]
APART = [
    ("No", "Yes"),
    ("1.5 cm", "15 cm"),
    ("1.5 cm", "1-5 cm"),
    ("-5 HU", "5 HU"),
    ("5%", "5"),
    ("T2", "T2*"),
    ("> 5 mm", "< 5 mm"),
    ("10\u00b2", "102"),
    ("No", "No mass"),
    ("?", "!"),
    ("+", "-"),
]


@pytest.mark.parametrize(("one", "other"), ALIKE)
def test_what_only_the_writing_tells_apart_teaches_nothing(one: str, other: str) -> None:
    assert fold_text(one) == fold_text(other)
    pair = replace(PAIR, chosen=Side(FILM, one), rejected=Side(FILM, other))
    assert drop_uninformative(pair) == Drop("c", "both sides differ only in case, punctuation or space")
    image_pair = replace(pair, rejected=Side(NOISED, other), kind="image")
    assert drop_uninformative(image_pair) is image_pair, "two images are a lesson"


@pytest.mark.parametrize(("one", "other"), APART)
def test_what_means_something_else_is_a_lesson(one: str, other: str) -> None:
    pair = replace(PAIR, chosen=Side(FILM, one), rejected=Side(FILM, other))
    assert drop_uninformative(pair) is pair


def test_images_not_looked_at_yet_are_told_apart_by_where_they_come_from() -> None:
    one, other = ImageRef.at("a.png"), ImageRef.at("b.png")
    assert isinstance(drop_uninformative(replace(PAIR, chosen=Side(one, "No"), rejected=Side(other, "No"))), Pair)
    assert isinstance(drop_uninformative(replace(PAIR, chosen=Side(one, "No"), rejected=Side(one, "No"))), Drop)
    one, other = ImageRef.encoded(b"1", "row 0"), ImageRef.encoded(b"2", "row 0")
    assert isinstance(drop_uninformative(replace(PAIR, chosen=Side(one, "No"), rejected=Side(other, "No"))), Pair)


def test_the_published_case_is_left_out_and_counted(shared: Path, tmp_path: Path) -> None:
    Image.new("L", (4, 4)).save(tmp_path / "a.png")
    file = shared / "cases/pairs/p_case_only-pairs.jsonl"
    (dropped,) = PairsReader(root=tmp_path, file=file).read()
    assert isinstance(dropped, Drop)
    assert dropped.reason == "both sides differ only in case, punctuation or space"


# --- the one door, before a run takes a pair -----------------------------------------------------------------------

MODULE = """
from dataclasses import replace
from mmedpo import Case, Dispreference, Drop, Pair, ImageRef, Reader, Remark, Side, hookimpl
from PIL import Image

class Careless(Reader):
    use = "careless"
    yields = "pairs"

    def read(self):
        for number, (grey, chosen, rejected) in enumerate([(9, "No", "no."), (9, "No", "Yes"), (90, "No", "no.")]):
            film = ImageRef.drawn(Image.new("L", (8, 8), 9))
            case = Case(str(number), film, "Is there a mass?", chosen, restricted=False)
            other = ImageRef.drawn(Image.new("L", (8, 8), grey))
            yield Pair(case, Side(film, chosen), Side(other, rejected), "text" if grey == 9 else "image")
            yield Remark(case.id, "it was made in a hurry")

class Echo(Dispreference):
    use = "echo"
    makes = "text"
    pairs_a_case = 3

    def disprefer(self, cases, backbone, earlier):
        for case in cases:
            for answer in (case.answer, case.answer.upper() + "!", "Something else"):
                yield Pair(case, Side(case.image, case.answer), Side(case.image, answer), "text")

@hookimpl
def mmedpo_readers(): return [Careless]

@hookimpl
def mmedpo_dispreferences(): return [Echo]
"""


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    points = {"mmedpo.readers": {"careless": "careless"}, "mmedpo.dispreferences": {"echo": "careless"}}
    (tmp_path / "packages").mkdir()
    return fake_package(tmp_path / "packages", "careless", {"careless": MODULE}, points)


def weighed(mmedpo: Mmedpo, tmp_path: Path, packages: Path, recipe: str) -> RunRecord:
    (tmp_path / "recipe.yaml").write_text(f"output: out\nbackbone: {{use: phantom}}\nunrated: keep\n{recipe}")
    done = mmedpo("run", "recipe.yaml", "--until", "weigh", "--json", packages=packages)
    assert done.returncode == 0, done.stderr
    return RunRecord.model_validate(json.loads(done.stdout)["run"])


def test_no_reader_brings_a_pair_that_teaches_nothing_into_a_run(
    mmedpo: Mmedpo, tmp_path: Path, packages: Path
) -> None:
    read = weighed(mmedpo, tmp_path, packages, "data: {use: careless}\n").stage("read")
    assert read.counts == (
        StageCount("pairs", 2),
        StageCount("remarks", 3, reason="it was made in a hurry"),
        StageCount("left_out", 1, reason="both sides differ only in case, punctuation or space"),
    )
    assert "of these: it was made in a hurry" in (tmp_path / "out/data_card.md").read_text()


def test_no_dispreference_brings_a_pair_that_teaches_nothing_into_a_run(
    mmedpo: Mmedpo, tmp_path: Path, packages: Path
) -> None:
    run = weighed(mmedpo, tmp_path, packages, "data: {use: phantom, images: 2}\ndisprefer: [{use: echo}]\n")
    cases = run.stage("read").total("cases")
    differ = "both sides differ only in case, punctuation or space"
    assert set(run.stage("disprefer").counts) == {
        StageCount("pairs", cases, "echo", kind="text"),
        StageCount("cases_without_pair", cases, "echo", kind="text", reason="both sides are the same"),
        StageCount("cases_without_pair", cases, "echo", kind="text", reason=differ),
    }


def test_where_nothing_is_left_the_reasons_are_counted() -> None:
    reader = next(part for part in find_parts() if part.name == "pairs" and part.kind is KINDS["reader"])
    drops = [Drop("1", "an answer is empty"), Drop("2", "an answer is empty"), Drop("3", "both sides are the same")]
    check = DataSetCheck(reader, "pairs")
    for item in (*drops, Remark("1", "odd")):
        check.add(item)
    with pytest.raises(DataError, match=r"nothing to read; left out: 2 an answer is empty, 1 both sides are the same"):
        check.finish()
