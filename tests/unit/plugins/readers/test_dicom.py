"""Films in DICOM form: the pixels as a film reader shows them, and nothing of whom they show."""

from __future__ import annotations

import json
import os
import sqlite3
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT, Mmedpo
from dicom_films import BORN, NAME, NUMBER, UID, VALUES, write
from mmedpo_plugins.readers.boxes import BoxesReader
from mmedpo_plugins.readers.dicom import DicomReader
from mmedpo_plugins.readers.tables import CsvReader
from PIL import Image

from mmedpo import Case, DataError, Drop
from mmedpo.cli.ask import _pixels

pydicom = pytest.importorskip("pydicom")
DATA = ROOT.parent / "shared" / "data" / "dicom"


def shown(path: Path, **options: Any) -> np.ndarray[Any, Any]:
    return np.asarray(DicomReader(root=path.parent, **options).picture(path).load())


def with_table(root: Path, *rows: str, header: str = "image,question,answer", **options: Any) -> list[Case | Drop]:
    (root / "questions.csv").write_text("\n".join([header, *rows]))
    return list(DicomReader(root=root, table=root / "questions.csv", **options).read())


def test_a_film_without_window_shows_its_full_range(tmp_path: Path) -> None:
    assert np.array_equal(shown(write(tmp_path / "a.dcm")), np.rint(VALUES / 1008 * 255))


def test_monochrome1_is_inverted(tmp_path: Path) -> None:
    inverse = shown(write(tmp_path / "a.dcm", PhotometricInterpretation="MONOCHROME1"))
    assert np.array_equal(inverse, 255 - np.rint(VALUES / 1008 * 255))


def test_values_are_rescaled_and_the_stored_window_is_applied(tmp_path: Path) -> None:
    tags = {"RescaleSlope": 2, "RescaleIntercept": -1000, "WindowCenter": [40, 0], "WindowWidth": [400, 9]}
    units = VALUES.astype(float) * 2 - 1000
    expected = np.clip((units - 39.5) / 399 + 0.5, 0, 1) * 255  # DICOM PS3.3 C.11.2.1.2.1
    assert np.abs(shown(write(tmp_path / "a.dcm", **tags)) - expected).max() <= 0.51


def test_another_window_may_be_told(tmp_path: Path) -> None:
    film = write(tmp_path / "a.dcm", WindowCenter=40, WindowWidth=400)
    assert np.array_equal(shown(film, window="full"), np.rint(VALUES / 1008 * 255))
    assert np.array_equal(shown(film, window=(500, 100)), np.rint(np.clip((VALUES - 450.0) / 100, 0, 1) * 255))


def test_padding_does_not_count_in_the_full_range(tmp_path: Path) -> None:
    values = VALUES + np.uint16(2000)
    values[0, 0] = 0
    assert shown(write(tmp_path / "a.dcm", values, PixelPaddingValue=0))[7, 7] == 255
    assert shown(tmp_path / "a.dcm")[0, 1] < 5


def test_a_lookup_table_of_the_file_is_applied(tmp_path: Path) -> None:
    table = pydicom.Dataset()
    table.LUTDescriptor, table.LUTData = [64, 0, 8], np.arange(255, 191, -1, dtype=np.uint16).tobytes()
    values = np.arange(64, dtype=np.uint8).reshape(8, 8)
    film = write(tmp_path / "a.dcm", values, VOILUTSequence=[table])
    assert np.array_equal(shown(film), 255 - values)


def test_colour_films_keep_their_colours(tmp_path: Path) -> None:
    values = np.zeros((4, 4, 3), dtype=np.uint8) + np.array([200, 10, 30], dtype=np.uint8)
    tags = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}
    assert shown(write(tmp_path / "a.dcm", values, **tags))[0, 0].tolist() == [200, 10, 30]


def test_a_table_asks_about_films(tmp_path: Path) -> None:
    write(tmp_path / "deep" / "a.dcm")
    first, second = with_table(tmp_path, "deep/a.dcm,Is it clear?,Yes", "deep/a.dcm,Where?,left")
    assert isinstance(first, Case)
    assert isinstance(second, Case)
    assert (first.answer, first.kind, second.answer) == ("Yes", "closed", "left")
    assert first.id[:-2] == second.id[:-2]
    assert first.id != second.id
    assert first.notes == {"modality": "DX", "body_part": "CHEST", "view": "PA"}
    assert first.restricted


def test_a_row_of_a_table_may_name_several_films(tmp_path: Path) -> None:
    write(tmp_path / "a.dcm")
    write(tmp_path / "b.dcm", VALUES + np.uint16(1), ViewPosition="LL")
    rows = ['"[""a.dcm"", ""b.dcm""]",Is it clear?,Yes', "a.dcm,Where?,left"]
    both, alone = with_table(tmp_path, *rows)
    assert isinstance(both, Case)
    assert isinstance(alone, Case)
    assert [image.load().size for image in both.images] == [(8, 8)] * 2
    assert (both.notes["view"], alone.notes["view"], alone.more_images) == ("PA, LL", "PA", ())
    write(tmp_path / "b.dcm", VALUES, BurnedInAnnotation="YES")
    with pytest.raises(DataError, match=r"b\.dcm: its header says that text is burnt in"):
        with_table(tmp_path, *rows)
    assert len([case for case in with_table(tmp_path, *rows, burnt_in="skip") if isinstance(case, Case)]) == 1
    (tmp_path / "b.dcm").unlink()
    case, dropped = sorted(with_table(tmp_path, *rows, missing="skip"), key=lambda item: isinstance(item, Drop))
    assert isinstance(case, Case)
    assert isinstance(dropped, Drop)
    assert not {"csv", "dcm"} & set(dropped.case_id.split("."))


def test_a_file_beside_each_film_asks_about_it(tmp_path: Path) -> None:
    for name, asked in (("a", {"question": "?", "answer": "x"}), ("b", [{"question": "?", "answer": "y"}] * 2)):
        write(tmp_path / f"{name}.dcm")
        (tmp_path / f"{name}.json").write_text(json.dumps(asked))
    assert [case.answer for case in DicomReader(root=tmp_path).read() if isinstance(case, Case)] == ["x", "y", "y"]
    (tmp_path / "b.json").unlink()
    with pytest.raises(DataError, match=r"b\.json: there is no such file"):
        list(DicomReader(root=tmp_path).read())
    assert len(list(DicomReader(root=tmp_path, missing="skip").read())) == 1


def test_films_of_one_patient_are_one_group_that_does_not_name_him(tmp_path: Path) -> None:
    for name, number in (("a", NUMBER), ("b", NUMBER), ("c", "PAT-9")):
        write(tmp_path / f"{name}.dcm", VALUES + np.uint16(ord(name)), PatientID=number)
    cases = [case for case in with_table(tmp_path, *(f"{name}.dcm,?,x" for name in "abc")) if isinstance(case, Case)]
    assert cases[0].group == cases[1].group != cases[2].group
    assert "PAT" not in cases[0].group


def test_columns_of_ids_and_groups_count_only_when_the_recipe_names_them(tmp_path: Path) -> None:
    write(tmp_path / "a.dcm")
    header, row = "image,question,answer,id,group", f"a.dcm,?,x,7,{NUMBER}"
    (case,) = with_table(tmp_path, row, header=header)
    assert isinstance(case, Case)
    assert NUMBER not in (case.id, case.group)
    (case,) = with_table(tmp_path, row, header=header, columns={"id": "id"})
    assert isinstance(case, Case)
    assert case.id == "7"


def test_a_film_of_several_frames_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.dcm", np.zeros((8, 8), dtype=np.uint8), NumberOfFrames=3, PixelData=bytes(192))
    with pytest.raises(DataError, match=r"a\.dcm: has 3 frames; save the frame"):
        with_table(tmp_path, "a.dcm,?,x")


def test_a_film_with_burnt_in_text_is_refused_or_dropped(tmp_path: Path) -> None:
    write(tmp_path / "a.dcm", BurnedInAnnotation="YES")
    with pytest.raises(DataError, match=r"a\.dcm: its header says that text is burnt in; .*data\.burnt_in=skip"):
        with_table(tmp_path, "a.dcm,?,x")
    (dropped,) = with_table(tmp_path, "a.dcm,?,x", burnt_in="skip")
    assert isinstance(dropped, Drop)
    assert dropped.reason == "the header says that text is burnt in"


@pytest.mark.parametrize("kept", [0, 100, 200, 400, -40])
def test_a_truncated_film_is_named(kept: int, tmp_path: Path) -> None:
    path = write(tmp_path / "a.dcm")
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(DataError, match=r"a\.dcm: .*(truncated|cut off)"):
        [case.image.load() for case in with_table(tmp_path, "a.dcm,?,x") if isinstance(case, Case)]


def test_a_film_that_is_too_large_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    path = write(tmp_path / "a.dcm", Rows=20_000, Columns=20_000)
    with pytest.raises(DataError, match=r"a\.dcm: is too large: 20,000 x 20,000 pixels"):
        shown(path)


def test_a_compression_that_takes_another_package_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.dcm")
    film = pydicom.dcmread(path)
    film.file_meta.TransferSyntaxUID = pydicom.uid.JPEGLosslessSV1
    film.PixelData = pydicom.encaps.encapsulate([bytes(64)])
    film["PixelData"].VR = "OB"
    film.save_as(path)
    with pytest.raises(DataError, match=r"a\.dcm: .*compressed as JPEG Lossless.*pip install pylibjpeg|broken"):
        shown(path)


@pytest.mark.parametrize("name", ["../a.dcm", "/etc/passwd"])
def test_a_film_outside_the_folder_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    write(tmp_path / "a.dcm")
    with pytest.raises(DataError, match=r"questions\.csv:2: the image .* is outside"):
        with_table(tmp_path / "in", f"{name},?,x")


def test_without_pydicom_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a.dcm")
    monkeypatch.setitem(__import__("sys").modules, "pydicom", None)
    with pytest.raises(DataError, match=r'pip install "mmedpo\[dicom\]"'):
        with_table(tmp_path, "a.dcm,?,x")


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("low", [1, 2, 4])
def test_values_are_taken_from_below_the_high_bit(low: int, signed: bool, tmp_path: Path) -> None:
    kind = np.int16 if signed else np.uint16
    values = VALUES.astype(kind) - (kind(500) if signed else kind(0))
    tags = {"HighBit": 11 + low, "BitsStored": 12, "PixelRepresentation": int(signed), "WindowCenter": 40}
    shifted = shown(write(tmp_path / "a.dcm", values << low, **tags, WindowWidth=400))
    plain = {**tags, "HighBit": 11}
    assert np.array_equal(shifted, shown(write(tmp_path / "b.dcm", values, **plain, WindowWidth=400)))
    assert len(np.unique(shifted)) > 9


@pytest.mark.parametrize(
    ("tags", "why"),
    [
        ({"HighBit": 15}, "HighBit is 15 for 12 of 16 bits, but its lowest bits are not empty"),
        ({"HighBit": 10}, "HighBit is 10 for 12 of 16 bits, which cannot be"),
        ({"HighBit": 16}, "HighBit is 16 for 12 of 16 bits, which cannot be"),
        ({"RescaleSlope": "1e400", "RescaleIntercept": 0}, "a pixel is no finite number"),
        ({"WindowCenter": 40, "WindowWidth": 400, "VOILUTFunction": "CUBIC"}, "VOI LUT function 'CUBIC' is unknown"),
    ],
)
def test_a_header_that_contradicts_its_pixels_is_refused(tags: dict[str, Any], why: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a.dcm", VALUES + np.uint16(1), **tags)
    with pytest.raises(DataError, match=rf"a\.dcm: its pixels .*{why}"):
        shown(path)


@pytest.mark.parametrize(
    ("centres", "widths"),
    [([1000, 500], [0, 100]), ([0, 500], [-4, 100]), (["", 500], ["", 100]), ([500], [100, 7]), ([500, 9], [100])],
)
def test_the_first_window_that_can_be_one_is_taken(centres: list[Any], widths: list[Any], tmp_path: Path) -> None:
    film = shown(write(tmp_path / "a.dcm", WindowCenter=centres, WindowWidth=widths))
    assert np.array_equal(film, shown(write(tmp_path / "b.dcm", WindowCenter=500, WindowWidth=100)))


@pytest.mark.parametrize("width", [0, -1, 0.5, ""])
def test_without_a_valid_window_the_full_range_is_shown(width: float | str, tmp_path: Path) -> None:
    assert np.array_equal(
        shown(write(tmp_path / "a.dcm", WindowCenter=500, WindowWidth=width)), np.rint(VALUES / 1008 * 255)
    )


def test_each_curve_of_a_window_is_drawn_as_the_standard_says(tmp_path: Path) -> None:
    tags = {"WindowCenter": 500, "WindowWidth": 200}
    exact = shown(write(tmp_path / "a.dcm", VOILUTFunction="LINEAR_EXACT", **tags))
    assert np.abs(exact - np.clip((VALUES - 400.0) / 200, 0, 1) * 255).max() <= 0.51
    bent = shown(write(tmp_path / "a.dcm", VOILUTFunction="SIGMOID", **tags))
    assert np.abs(bent - 255 / (1 + np.exp(-4 * (VALUES - 500.0) / 200))).max() <= 0.51
    assert set(np.unique(shown(write(tmp_path / "a.dcm", WindowCenter=500, WindowWidth=1)))) == {0, 255}


def test_a_negative_slope_turns_the_greys_within_a_window(tmp_path: Path) -> None:
    tags = {"RescaleSlope": -1, "RescaleIntercept": 1000, "WindowCenter": 500.5, "WindowWidth": 1001}
    film = shown(write(tmp_path / "a.dcm", **tags)).astype(int)
    assert np.abs(film - np.clip((1000.0 - VALUES) / 1000, 0, 1) * 255).max() <= 0.51


def test_the_shared_films_are_shown(shared: Path) -> None:
    films = {path.stem: np.unique(shown(path)) for path in sorted((shared / "cases" / "dicom").glob("*.dcm"))}
    assert {name: len(greys) for name, greys in films.items()} == {"high15": 63, "slope0": 1, "win_multi0": 9}


@pytest.mark.parametrize("name", ["a.DCM", "b.Dcm", "deep/c.dicom"])
def test_films_are_found_whatever_the_case_of_their_ending(name: str, tmp_path: Path) -> None:
    film = write(tmp_path / name)
    film.with_suffix(".json").write_text('{"question": "?", "answer": "x"}')
    os.mkfifo(tmp_path / "pipe.dcm")
    assert len(list(DicomReader(root=tmp_path).read())) == 1


@pytest.mark.parametrize("implicit", [False, True])
@pytest.mark.parametrize("meta", [False, True])
def test_a_film_without_the_mark_before_its_tags_is_read(implicit: bool, meta: bool, tmp_path: Path) -> None:
    whole = write(tmp_path / "a.dcm")
    film = pydicom.dcmread(whole)
    film.file_meta.TransferSyntaxUID = (
        pydicom.uid.ImplicitVRLittleEndian if implicit else pydicom.uid.ExplicitVRLittleEndian
    )
    film.save_as(whole, enforce_file_format=True)
    content = whole.read_bytes()[132:]
    (tmp_path / "b.dcm").write_bytes(content if meta else content[content.index(b"\x08\x00\x16\x00") :])
    expected = shown(whole)
    assert np.array_equal(shown(tmp_path / "b.dcm"), expected)
    case, other = with_table(tmp_path, "a.dcm,?,x", "b.dcm,?,x")
    assert isinstance(case, Case)
    assert isinstance(other, Case)
    assert case.notes == other.notes


@pytest.mark.parametrize(
    "content", [b"", b"text " * 99, bytes(999), b"\x89PNG\r\n\x1a\n" + bytes(999), b"\x08\0\x05\0"]
)
def test_what_does_not_begin_as_a_film_is_refused_with_what_to_do(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.dcm: is no DICOM file, .*write it anew as one"):
        with_table(tmp_path, "a.dcm,?,x")


def test_an_image_is_asked_about_as_the_run_s_readers_read_theirs(tmp_path: Path) -> None:
    film = write(tmp_path / "film.dcm")
    table = CsvReader(file=tmp_path / "t.csv")
    for readers in (
        [DicomReader(root=tmp_path)],
        [table, DicomReader(root=tmp_path)],
        [BoxesReader(file=tmp_path / "b.csv")],
    ):
        assert np.array_equal(np.asarray(_pixels(film, readers)), shown(film))
    Image.fromarray(shown(film)).save(tmp_path / "film.png")
    assert np.array_equal(np.asarray(_pixels(tmp_path / "film.png", [DicomReader(root=tmp_path)])), shown(film))
    with pytest.raises(DataError, match=r"film\.dcm: is no image but a DICOM film, .*data: \{use: dicom\}"):
        _pixels(film, [table])


RECIPE = """
output: run
journal: journal.sqlite
data: {use: dicom, root: pacs, table: pacs/questions.csv, missing: skip}
backbone: {use: phantom}
localize: {use: annotated}
disprefer: [{use: global-noise, without_region: noise}]
unrated: keep
"""


@pytest.mark.slow
def test_nothing_that_names_a_patient_reaches_the_run_or_the_journal(mmedpo: Mmedpo, tmp_path: Path) -> None:
    secrets = [NAME, "Mustermann", NUMBER, BORN, UID]
    write(tmp_path / "pacs" / f"{UID}.dcm")
    rows = [f"{name}.dcm,Is the heart enlarged?,Yes" for name in (UID, "Mustermann")]  # the second is not there
    (tmp_path / "pacs" / "questions.csv").write_text("\n".join(["image,question,answer", *rows]))
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    done = mmedpo("run", "recipe.yaml", "--until", "weigh")
    assert done.returncode == 0, done.stderr
    written = {
        str(file): file.read_bytes() for file in tmp_path.rglob("*") if file.is_file() and "pacs" not in str(file)
    }
    values = sqlite3.connect(tmp_path / "journal.sqlite").execute("SELECT key, value FROM done").fetchall()
    written |= {f"journal {key}": zlib.decompress(value) for key, value in values}
    assert {"pairs.jsonl", "dropped.jsonl"} <= {Path(name).name for name in written}
    for name, content in written.items():
        assert not [secret for secret in secrets if secret in name or secret.encode() in content], name


def test_real_films_are_read_and_monochrome1_is_the_other_way_round() -> None:
    if not DATA.exists():
        pytest.skip(f"{DATA} is not here")
    inverse = shown(DATA / "Fake_MONOHR1.dcm")
    film = shown(DATA / "1.2.276.0.7230010.3.1.4.8323329.6904.1517875201.850819.dcm")
    assert inverse.shape == film.shape == (1024, 1024)
    assert np.array_equal(inverse, 255 - film)
