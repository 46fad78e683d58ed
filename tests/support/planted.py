"""Identifiers of people who do not exist, planted in every kind of file that a run may hold."""

from __future__ import annotations

import gzip
import json
import sqlite3
import struct
import zipfile
import zlib
from collections.abc import Callable
from html import escape
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from dicom_films import write
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from safetensors.numpy import save_file

KEY = "zq81xw-Rr5tLm0-qpVb72"  # has no form of its own: known from the environment
#: what is planted -> how it is written, and what of it is the identifier
PLANTED = {
    "a doctor with a title": ("Discussed with Dr. Alice Quimby.", "Alice Quimby"),
    "a name of DICOM": ("film of ZWEIFEL^URSULA^M", "ZWEIFEL^URSULA"),
    "a name with a label": ("Patient name: Igor Baranov", "Igor Baranov"),
    "a name in a sentence": ("as Grace Thornton told us before", "Grace Thornton"),
    "a name in capitals": ("film of JÖRG MÜLLER, upright", "JÖRG MÜLLER"),
    "a record number with a label": ("MRN: 00482913", "00482913"),
    "an accession number": ("Accession number A-2021-44871", "A-2021-44871"),
    "a record number alone": ("compared with 77310284", "77310284"),
    "a date of birth": ("DOB 12.03.1956", "12.03.1956"),
    "a day as ISO writes it": ("seen on 2019-07-15", "2019-07-15"),
    "a day, month first": ("seen on 7/16/2019", "7/16/2019"),
    "a day in words": ("seen on 17 July 2019", "17 July 2019"),
    "a day as DICOM writes it": ("acquired 20190718", "20190718"),
    "a phone number": ("call (202) 555-0143", "(202) 555-0143"),
    "an international phone number": ("or +49 30 5550 1234", "+49 30 5550 1234"),
    "an e-mail address": ("write to u.zweifel@example.org", "u.zweifel@example.org"),
    "a social security number": ("SSN 536-22-8714", "536-22-8714"),
    "a card number": ("paid by 4012 8888 8888 1881", "4012 8888 8888 1881"),
    "a bank account": ("from DE89370400440532013000", "DE89370400440532013000"),
    "an address": ("lives at 221 Baker Street", "221 Baker Street"),
    "an instance of DICOM": ("1.2.276.0.7230010.3.1.4.8323329.690", "1.2.276.0.7230010.3.1.4.8323329.690"),
    "a key by its form": ("sk-proj-4f9GkQm2Zr8Tb6Wd1Xs7", "sk-proj-4f9GkQm2Zr8Tb6Wd1Xs7"),
    "a key of the environment": (f"asked with {KEY}", KEY),
    "a password in an address": ("http://rad:hunter22@pacs.example.org/wado", "rad:hunter22"),
}
ONLY_LISTED = {"a name in a sentence", "a name in capitals", "a record number alone"}
ONLY_POSSIBLE = {"a day as DICOM writes it"}

Write = Callable[[Path, str], None]


def _text(path: Path, text: str) -> None:
    path.write_text(f"# a file\n{text}\n", encoding="utf-8")


def _json_lines(path: Path, text: str) -> None:
    record = {"pair": {"case": {"question": text, "id": "case-1"}}, "numbers": [1, 2]}
    path.write_text(f'{{"a": 1}}\n{json.dumps(record)}\n')  # with \u00fc


def _html(path: Path, text: str) -> None:
    path.write_text(f"<html><body><p>{escape(text).replace('Ü', '&Uuml;').replace('@', '&#64;')}</p></body></html>")


def _journal(path: Path, text: str) -> None:
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE done (key TEXT, value BLOB)")
        database.execute(
            "INSERT INTO done VALUES (?, ?)", ("k", zlib.compress(json.dumps([{"answer": text}]).encode()))
        )
    database.close()


def _png(path: Path, text: str, packed: bool = False) -> None:
    chunks = PngInfo()
    if packed:
        chunks.add_text("Comment", text, zip=True)
    else:
        chunks.add_itxt("Description", text)
    Image.new("L", (8, 8)).save(path, pnginfo=chunks)


def _jpeg(path: Path, text: str) -> None:
    Image.new("L", (8, 8)).save(path, comment=text.encode())


def _exif(path: Path, text: str) -> None:
    exif = Image.Exif()
    exif[0x9C9C] = text.encode("utf-16-le")  # XPComment
    Image.new("L", (8, 8)).save(path, exif=exif)


def _behind(path: Path, text: str) -> None:
    Image.new("L", (8, 8)).save(path)
    path.write_bytes(path.read_bytes() + text.encode())


def _events(path: Path, text: str) -> None:
    data = b"\x09\0\0\0\0\0\0\x10@\x1a" + text.encode() + b"\x12\0"
    path.write_bytes(struct.pack("<QI", len(data), 1) + data + b"\xff\xfe\0\1")


def _parquet(path: Path, text: str) -> None:
    pq.write_table(pa.table({"question": [text], "number": [1.5]}), path)


def _zip(path: Path, text: str) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("inner/notes.jsonl", json.dumps({"text": text}))


WRITERS: dict[str, tuple[str, Write]] = {
    "text": ("notes.md", _text),
    "YAML": ("recipe.yaml", lambda path, text: path.write_text(f"note: {json.dumps(text, ensure_ascii=False)}\n")),
    "CSV": ("table.csv", lambda path, text: path.write_text(f'id,question\n1,"{text}"\n')),
    "log": ("run.log", lambda path, text: path.write_text(f"12:00:01 INFO {text}\n")),
    "JSON": ("run.json", lambda path, text: path.write_text(json.dumps({"a": [{"b": text}]}, indent=2))),
    "JSON Lines": ("pairs.jsonl", _json_lines),
    "HTML": ("report.html", _html),
    "journal": ("journal.sqlite", _journal),
    "PNG text": ("film.png", _png),
    "PNG packed text": ("film2.png", lambda path, text: _png(path, text, packed=True)),
    "PNG, behind its end": ("film3.png", _behind),
    "JPEG comment": ("film.jpg", _jpeg),
    "EXIF": ("film2.jpg", _exif),
    "DICOM": ("film.dcm", lambda path, text: write(path, ImageComments=text, SpecificCharacterSet="ISO_IR 192")),
    "TensorBoard": ("events.out.tfevents.1.host", _events),
    "parquet": ("part.parquet", _parquet),
    "gzip": ("old.jsonl.gz", lambda path, text: path.write_bytes(gzip.compress(json.dumps({"t": text}).encode()))),
    "zip": ("all.zip", _zip),
    "safetensors": (
        "a.safetensors",
        lambda path, text: save_file({"w": np.zeros(1, np.float32)}, path, metadata={"note": text}),
    ),
}  # fmt: skip


def plant(folder: Path) -> None:
    """Write a file of each kind with all identifiers in it, words between them that say nothing."""
    folder.mkdir(parents=True)
    between = ". No change was seen of it at all, and then, as ever, it was said: "
    text = between.join(one for one, _ in PLANTED.values())
    for name, write_file in WRITERS.values():
        write_file(folder / name, text)
