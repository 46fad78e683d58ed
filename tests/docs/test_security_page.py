"""The page on restricted data has the bounds that the code has."""

from __future__ import annotations

from conftest import ROOT, generated
from mmedpo_plugins.localizers.monai_detector import checkpoint as detector
from mmedpo_plugins.tabular import parquet

from mmedpo.core import images
from mmedpo.data import text_files, values
from mmedpo.endpoints import structured, templates
from mmedpo.endpoints.batches import api, output
from mmedpo.endpoints.http import connection
from mmedpo.recipe.document import yaml

PAGE = ROOT / "docs" / "guides" / "security.md"
MARK = "## Bounds\n"
HEAD = "| what | at most | else |\n|---|---|---|\n"
REFUSED = "an error that names the file"
AGAIN = "asked again, then an error"


def megabytes(count: int) -> str:
    """Write a number of bytes that is whole megabytes."""
    assert count % 2**20 == 0
    return f"{count // 2**20:,} MiB"


def rows() -> list[tuple[str, str, str]]:
    pixels = f"{images.MOST_PIXELS:,} pixels"
    return [
        ("an image, a DICOM film", pixels, REFUSED),
        ("pictures in an image file, frames of a film", "1", REFUSED),
        ("a film that is deflated as a whole", "none", REFUSED),
        ("a heat map (`.npy`)", f"{images.MOST_PIXELS:,} numbers", REFUSED),
        ("a line of a table or of JSON Lines", megabytes(text_files.LONGEST_LINE), "an error with its line"),
        ("a file of one JSON list", megabytes(text_files.MOST_WHOLE), REFUSED),
        ("a gzipped table", f"{megabytes(text_files.MOST_UNPACKED)}, {text_files.MOST_PACKED} times its size", REFUSED),
        ("values within values", f"{values.DEEPEST} deep", "an error with its row"),
        ("digits of a whole number in data", f"{values.MOST_DIGITS}", "an error with its row"),
        (
            f"a column of parquet of more than {megabytes(parquet.MOST_VALUE)}",
            f"{parquet.MOST_PACKED} times its size",
            REFUSED,
        ),
        (
            "rows of parquet that are unpacked at once",
            f"{parquet.TOGETHER}, and as many as take {megabytes(parquet.MOST_BATCH)}",
            "fewer at once",
        ),
        ("a recipe", f"{megabytes(yaml.MOST_BYTES)}, {yaml.MOST_VALUES:,} values, {yaml.DEEPEST} deep", REFUSED),
        ("a prompt that a template makes", f"{templates.LONGEST:,} characters, {templates.WORK:,} steps", REFUSED),
        ("a response of an endpoint, unpacked", megabytes(connection.MOST), AGAIN),
        ("an answer that is looked through for a verdict", f"{structured.LONGEST:,} characters", "no verdict"),
        ("a line of a batch's answers", megabytes(output.LONGEST), "no answer"),
        ("a file of a batch's answers", megabytes(api.MOST_OF_FILE), AGAIN),
        (
            "a detector's checkpoint",
            f"{detector.MOST_CHANNELS:,} channels, films of {detector.MOST_SIDE:,} pixels a side",
            REFUSED,
        ),
        ("an adapter's rank", "twice that of its tensors", REFUSED),
        ("a checkpoint's weights", "the memory that there is", "an error before they are read"),
    ]


def test_the_page_has_the_bounds_of_the_code() -> None:
    text = PAGE.read_text()
    table = "".join(f"| {' | '.join(row)} |\n" for row in rows())
    generated(PAGE, text[: text.index(MARK)] + MARK + HEAD + table)
