"""What left a run: counts on the output; notes and restrictions on the error output, also where a script reads JSON."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmedpo.cli.display.exchange import show_exported
from mmedpo.exchange.pairs_io import ExportResult

LEFT = ExportResult(Path("out"), "trl", {"text": 1200, "image": 3}, 0, 3, ["weights are not taken up"])


@pytest.mark.parametrize(("quiet", "printed"), [(False, "out: 1,200 text, 3 image pairs for trl\n"), (True, "")])
def test_a_restriction_is_told_even_where_a_script_reads(
    quiet: bool, printed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    show_exported(LEFT, quiet)
    out, err = capsys.readouterr()
    assert out == printed
    assert err == (
        "mmedpo: note: weights are not taken up\n"
        "mmedpo: 3 of these pairs are restricted: out is as restricted as the data they come from\n"
    )
