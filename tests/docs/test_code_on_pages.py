"""Code on a page that can run alone does: the part of the guide with its tests, and what reads a run."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest
from conftest import ROOT
from page_blocks import list_blocks
from run_folder import write_run


def code_of(page: str) -> list[str]:
    """Return the blocks of Python on a page."""
    return [block.text for block in list_blocks(ROOT / "docs" / page) if block.language == "python"]


def test_the_part_of_the_guide_passes_the_tests_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part, *_, tests = code_of("guides/plugin.md")
    (tmp_path / "part_of_the_guide.py").write_text(f"{part}\n{tests}")
    monkeypatch.syspath_prepend(tmp_path)
    module = import_module("part_of_the_guide")
    found = [value for name, value in vars(module).items() if name.startswith("test_")]
    assert len(found) == 2
    for test in found:
        test()


def test_what_reads_a_run_reads_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "runs" / "mine")
    (code,) = code_of("reference/runs.md")
    exec(code, {})
    assert len(capsys.readouterr().out.splitlines()) == code.count("print(")
