"""The report: what is in it, what never is, and that it is there for unfinished runs too."""

from __future__ import annotations

import re
import shutil
from array import array
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Mmedpo
from run_folder import HOSTILE, looked, measures, weighted, write_run
from typer.testing import CliRunner

from mmedpo.cli.main import app
from mmedpo.core.images import ImageRef
from mmedpo.core.number_format import format_change, format_number
from mmedpo.core.records import WeightedPair
from mmedpo.errors import DataError
from mmedpo.events import StageCount
from mmedpo.report.album import ImageAlbum
from mmedpo.report.cases import answered_cards, choose_attention
from mmedpo.report.facts import read_facts, without_keys
from mmedpo.report.gallery import GalleryChoice, cards, disagreement
from mmedpo.report.lengths import AnswerLengths
from mmedpo.report.measures import make_tables
from mmedpo.report.page import as_yaml, render, short, write_report
from mmedpo.report.sentences import write_sentences
from mmedpo.report.surveys import CaseSurvey
from mmedpo.store.run_files.measures import MetricResult, TrainingOverlap
from mmedpo.store.run_files.record import StageSummary
from mmedpo.testing import tiny_cases

MOST = 10_000_000


def page(folder: Path) -> str:
    return write_report([folder]).read_text()


def test_the_report_lies_in_the_run_folder_and_needs_nothing_else(tmp_path: Path) -> None:
    text = page(write_run(tmp_path / "run"))
    assert (tmp_path / "run/report.html").stat().st_size < MOST
    assert not re.search(r"""(src|href)=["'](?!data:|#)""", text)
    assert "@import" not in text
    assert "Content-Security-Policy" in text
    assert not re.search(r"url\((?!#)", text)


def test_an_answer_that_looks_like_html_is_shown_and_not_obeyed(tmp_path: Path) -> None:
    text = page(write_run(tmp_path / "run"))
    assert HOSTILE not in text
    assert "<script>document" not in text
    assert "&lt;" in text
    assert "<b>said</b>" not in text
    assert text.count("<script>") == 1  # our own


def test_an_unchanged_run_has_its_report_already(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    written = write_report([folder])
    first = written.stat().st_mtime_ns
    assert write_report([folder]).stat().st_mtime_ns == first
    write_run(folder, run={"seed": 4})
    assert write_report([folder]).stat().st_mtime_ns != first
    assert "seed 4" in written.read_text()


def test_two_reports_on_one_run_are_the_same_bytes(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    one, other = (write_report([folder], tmp_path / name) for name in ("one.html", "other.html"))
    assert one.read_bytes() == other.read_bytes()


def test_a_report_without_images_has_none_says_so_and_stays_so(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    bare = write_report([folder], images=False).read_text()
    assert "data:image" not in bare
    assert "<code>--no-images</code>" in bare
    assert HOSTILE.split()[0] not in bare
    write_run(folder, run={"seed": 4})
    assert "data:image" not in page(folder), "a run that goes on puts none back"
    assert "data:image" in write_report([folder], images=True).read_text()


@pytest.mark.parametrize("missing", ["pairs", "training", "measures"])
def test_an_unfinished_run_has_a_report_of_what_there_is(tmp_path: Path, missing: str) -> None:
    text = page(write_run(tmp_path / "run", **{missing: 0}, run={"state": "running"}))
    assert "not finished" in text
    section = {"pairs": "gallery", "training": "training", "measures": "cases"}[missing]
    assert f'<section id="{section}"' not in text
    assert f'href="#{section}"' not in text
    assert 'section id="asked"' in text


def test_what_an_earlier_recipe_left_behind_is_not_shown(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    recipe = {**read_facts(folder).run.recipe, "train": None, "evaluate": None}
    facts = read_facts(write_run(folder, run={"recipe": recipe}))
    assert not facts.training
    assert not facts.measures
    assert not facts.answers


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is no run folder"):
        write_report([tmp_path])
    done = CliRunner().invoke(app, ["report", str(tmp_path)])
    assert done.exit_code == 4
    assert "is no run folder" in done.stderr


def test_restricted_data_have_a_loud_banner_and_others_none(tmp_path: Path) -> None:
    assert 'class="banner"' not in page(write_run(tmp_path / "open"))
    assert "This file contains patients’ data." in page(write_run(tmp_path / "closed", restricted=True))


def test_images_that_are_gone_leave_a_placeholder_and_those_of_the_journal_are_found(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    assert page(folder).count("no longer where the run found it") >= 1
    (folder / "images").rename(tmp_path / "journal-images")
    write_run(tmp_path / "other")
    assert page(folder).count("data:image/webp") > 20
    shutil.rmtree(tmp_path / "journal-images")
    (folder / "report.html").unlink()
    text = page(folder)
    assert "data:image" not in text
    assert text.count("no longer where the run found it") > 20


def test_keys_and_logins_never_appear(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-verysecret")
    counts = (StageCount("left_out", 1, reason="sk-verysecret was refused"),)
    folder = write_run(tmp_path / "run", run={"flow": (StageSummary(stage="read", counts=counts),)})
    text = page(folder)
    assert "sk-verysecret" not in text
    assert "hunter2" not in text
    assert without_keys({"api_key": "x", "key_from": "HERE", "a": [{"password": "y"}]}) == {
        "api_key": "(hidden)",
        "key_from": "HERE",
        "a": [{"password": "(hidden)"}],
    }


def test_training_images_in_the_evaluation_are_named_beside_every_table(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", measured={"overlap": TrainingOverlap(images=4, trained_on=3)})
    text = page(folder)
    tables_of_measures = len(re.findall(r"<caption>(med-vqa|attention)</caption>", text))
    assert tables_of_measures == 2
    assert text.count("3 of the 4 evaluation images were trained on.") >= tables_of_measures
    assert "partly memory" in text


def test_the_summary_says_what_is_sure_and_what_is_not(tmp_path: Path) -> None:
    facts = read_facts(write_run(tmp_path / "run"))
    lines = [line for table in make_tables(facts) for line in table.lines]
    assert [(line.name, line.verdict) for line in lines][:3] == [
        ("sure", "better"),
        ("unsure", "not resolved"),
        ("n_count", ""),
    ]
    said = [one.text for one in write_sentences(facts, [line for line in lines if line.better], None)]
    assert any(text.startswith("Better by more than chance") and "med-vqa sure +0.200" in text for text in said)
    assert any(text.startswith("Not resolved") and "unsure +0.100 (−0.100 to +0.300)" in text for text in said)
    assert any("1 are answered better" in text and "1 worse, 2 as well" in text for text in said)
    assert any("50% of the 4 held-out image pairs" in text and "chance" in text for text in said)


def test_the_summary_says_where_weights_do_nothing(tmp_path: Path) -> None:
    equal = StageCount("equal_weights", 53, "detector-confidence", kind="image", reason="1 (relevance 1)")
    facts = read_facts(write_run(tmp_path / "run", run={"flow": (StageSummary(stage="weigh", counts=(equal,)),)}))
    (said,) = [one for one in write_sentences(facts, [], None) if "weights" in one.text]
    assert said.text == (
        "All 53 image pairs rated by detector-confidence weigh 1 (relevance 1): weights do nothing among them, as"
        " without scores."
    )
    assert said.warns


def test_cases_that_got_better_and_worse_are_told_apart(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    answers = list(read_facts(folder).answers)
    cases = CaseSurvey(answers, drawn=2)
    assert [row.id for row in cases.changed[1]] == ["tiny-0"]
    assert [row.id for row in cases.changed[-1]] == ["tiny-1"]
    assert (cases.measured, cases.counts) == (4, {1: 1, -1: 1})
    (worse,) = answered_cards(cases.changed[-1], ImageAlbum(folder))
    assert any(piece.differs for piece in worse.after)
    assert list(CaseSurvey(answers[::-1], drawn=2).drawn) == list(cases.drawn)
    assert [row.id for row in CaseSurvey(answers * 9, shown=2).changed[1]] == ["tiny-0"] * 2


def test_a_pair_that_was_noised_by_the_whole_map_shows_the_map(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    item = next(one for one in weighted(folder, 8) if one.pair.kind == "image")
    heat = ImageRef("gone.png", "0" * 64)
    case = replace(item.pair.case, regions=tuple(replace(one, heat=heat) for one in item.pair.case.regions))
    for notes, missing in ({}, {}), ({"mask": "map"}, {heat.sha256: heat.path}):
        album = ImageAlbum(folder)
        cards([replace(item, pair=replace(item.pair, case=case, notes=item.pair.notes | notes))], album)
        assert album.missing == missing


def test_where_attention_is_shown_the_first_the_middle_and_the_last_are(tmp_path: Path) -> None:
    row = looked(tiny_cases(1)[0])
    rows = [
        row.model_copy(update={"id": f"{at}", "after": row.before.model_copy(update={"inside": at / 1000})})
        for at in range(3000)
    ]
    choice = choose_attention(rows[::-1])
    ids = [int(one.id) for one in choice.shown]
    assert ids == [2999, 2998, 2997, 2996, 1501, 1500, 1499, 1498, 3, 2, 1, 0]
    assert len(choice.shares) == 2000


def test_the_gallery_holds_every_extreme_and_every_sort_of_pair(tmp_path: Path) -> None:
    every = weighted(tmp_path, 60)

    def choose(pairs: list[WeightedPair], most: int) -> list[WeightedPair]:
        choice = GalleryChoice(most)
        for item in pairs:
            choice.add(item)
        return choice.pairs()

    shown = choose(every, 12)
    assert len(shown) == 12
    assert every[0] in shown  # the one on which voters disagree
    assert disagreement(every[0]) == 7
    sorts = {(item.pair.kind, item.weight) for item in every}
    assert {(item.pair.kind, item.weight) for item in shown} == sorts
    assert choose(every[::-1], 12)[::-1] == shown
    assert choose(every, 99) == every


def test_length_alone_ranks_pairs_by_the_better_of_its_two_rules() -> None:
    lengths = AnswerLengths(array("l", [1, 1, 2, 5]), array("l", [3, 3, 2, 1]))
    assert (lengths.shorter, lengths.equal, lengths.longer) == (0.5, 0.25, 0.25)
    assert lengths.guessed == 0.625
    assert lengths.means == (2.25, 2.25)


def test_several_runs_become_one_file_that_says_why_they_cannot_be_compared(tmp_path: Path) -> None:
    folders = [write_run(tmp_path / "a"), write_run(tmp_path / "b")]
    written = write_report(folders)
    text = written.read_text()
    assert written == tmp_path / "comparison.html"
    assert text.count("<h2>a</h2>") == text.count("<h2>b</h2>") == 1
    assert "cannot be compared" in text


def test_a_folder_of_runs_becomes_one_file_in_it(tmp_path: Path) -> None:
    for seed in ("a", "b"):
        write_run(tmp_path / "study" / seed / "sft")
    written = write_report([tmp_path / "study"])
    assert written == tmp_path / "study" / "comparison.html"
    assert all(str(tmp_path / "study" / seed / "sft") in written.read_text() for seed in ("a", "b"))


def test_a_picture_that_there_is_no_room_for_is_left_out_and_said(tmp_path: Path) -> None:
    from mmedpo.report.album import FULL, ImageAlbum

    folder = write_run(tmp_path / "run")
    pair = read_facts(folder).pairs[0].pair
    assert ImageAlbum(folder).film(pair.case.image, "film").src
    assert ImageAlbum(folder, room=100).film(pair.case.image, "film").why == FULL


def test_numbers_and_recipes_read_like_those_of_the_command_line() -> None:
    assert [format_number(value) for value in (0.5, 40.0, 1.0, None)] == ["0.500", "40", "1.000", ""]
    assert [format_number(value, "claim_count") for value in (0.0, 1.0, 1.5)] == ["0", "1", "1.500"]
    assert [format_change(value, "claim_count") for value in (-3.0, 0.5, None)] == ["-3", "+0.500", ""]
    assert short("word " * 400, 20) == "word word word word…"
    recipe = {"data": {"use": "csv", "root": None}, "train": {"epochs": 2, "lora": {"r": 4}}, "score": [{"use": "a"}]}
    written = as_yaml(recipe)
    assert written == "data: {use: csv}\ntrain:\n  epochs: 2\n  lora:\n    r: 4\nscore:\n  - {use: a}"


def test_a_broken_file_is_named_with_its_line(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    with (folder / "answers.jsonl").open("a") as file:
        file.write('{"id"')
    with pytest.raises(DataError, match=r"answers\.jsonl:5"):
        render(read_facts(folder))


@pytest.mark.slow
def test_a_run_of_variants_ends_with_one_report_on_all(mmedpo: Mmedpo, tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(
        "output: out\ndata: {use: phantom, images: 3}\nbackbone: {use: phantom}\ndisprefer: [{use: opposite-answer}]\n"
        "unrated: keep\ntrain: {epochs: 1, learning_rate: 1e-2, lora: {r: 4, alpha: 8}}\n"
        "evaluate: {data: {use: phantom, split: test, images: 4}, measure: [{use: med-vqa}], max_new_tokens: 6}\n"
        "variants: {one: {}, two: {train.learning_rate: 1e-5}}\n"
    )
    done = mmedpo("run", "recipe.yaml")
    assert done.returncode == 0, done.stderr
    assert "out/report.html  all of them to look at" in done.stdout
    text = (tmp_path / "out/report.html").read_text()
    assert "cannot be compared" not in text
    assert (tmp_path / "out/one/report.html").exists()
    assert mmedpo("report", "out/one", "-o", "mine.html").stdout == "mine.html\n"
    both = mmedpo("report", "out/one", "out/two")
    assert both.returncode == 0, both.stderr
    assert both.stdout.strip().endswith("out/comparison.html")


def test_what_must_be_said_beside_measures_is_said_first_and_beside_the_table(tmp_path: Path) -> None:
    first, *others = measures().measures
    cautious = first.model_copy(update={"cautions": ("it learned to say no",)})
    text = page(write_run(tmp_path / "run", measured={"measures": (cautious, *others)}))
    assert text.count("it learned to say no.") == 2
    assert text.index("Caution, med-vqa: it learned to say no.") < text.index("Better by more than chance")


def test_a_metric_without_a_case_says_why_in_place_of_a_table(tmp_path: Path) -> None:
    empty = MetricResult(use="findings", before={}, after={}, better={}, nothing="no reports here")
    text = page(write_run(tmp_path / "run", measured={"measures": (*measures().measures, empty)}))
    assert text.count("no reports here.") == 2
    assert "<caption>findings</caption>" not in text


def test_tiles_and_sentences_name_the_metric_of_a_measure(tmp_path: Path) -> None:
    text = page(write_run(tmp_path / "run"))
    assert 'sure <span class="faint">med-vqa</span>' in text
    assert "med-vqa sure +0.200" in text
