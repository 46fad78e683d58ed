"""The docs say what the code does. `MMEDPO_WRITE_DOCS=1 pytest tests/docs/test_docs.py` writes what is generated."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest
import typer
from conftest import ROOT, generated

from mmedpo.cli.main import app
from mmedpo.errors import MmedpoError
from mmedpo.recipe.model import STAGES
from mmedpo.registry import hookspecs
from mmedpo.registry.contracts import CONTRACTS
from mmedpo.registry.discovery import KIND_NAMES, find_parts
from mmedpo.registry.inspection import describe_part, described_as_text

DOCS = ROOT / "docs"


def commands(app: typer.Typer, words: str = "") -> Iterator[str]:
    """Yield every command of the command line, groups before their own."""
    yield words
    for one in app.registered_commands:
        yield f"{words} {(one.name or one.callback.__name__).replace('_', '-')}".strip()  # type: ignore[union-attr]
    for group in app.registered_groups:
        yield from commands(group.typer_instance, f"{words} {group.name}".strip())  # type: ignore[arg-type]


def test_the_command_line_page_is_the_commands_own_help() -> None:
    blocks = ["# The command line\nWhat `--help` prints; a test keeps this page true.\n"]
    for command in commands(app):
        line = [sys.executable, "-m", "mmedpo", *command.split(), "--help"]
        environment = {**os.environ, "COLUMNS": "110", "TERMINAL_WIDTH": "110"}
        text = subprocess.run(line, capture_output=True, text=True, check=True, env=environment).stdout
        text = text.replace("python -m mmedpo", "mmedpo")
        blocks.append(f"## {f'mmedpo {command}'.strip()}\n```\n{text.strip()}\n```\n")
    generated(DOCS / "cli.md", "\n".join(blocks))


def test_the_parts_page_describes_every_built_in_part() -> None:
    names = sorted({part.name for part in find_parts() if part.package == "mmedpo"})
    descriptions = [item for name in names for item in describe_part(f"mmedpo/{name}")]
    descriptions.sort(key=lambda item: (KIND_NAMES.index(item["kind"]), item["name"]))
    blocks = ["# The built-in parts\nWhat `mmedpo plugins show` prints; a test keeps this page true.\n"]
    for item in descriptions:
        blocks.append(f"## {item['kind']} {item['name']}\n```\n{described_as_text(item).strip()}\n```\n")
    version = re.compile(r" of mmedpo [\w.]+\n")
    generated(DOCS / "parts.md", version.sub(" of mmedpo\n", "\n".join(blocks)))


@pytest.mark.parametrize("kind", KIND_NAMES)
def test_every_hook_has_a_heading_a_docstring_and_its_entry_point_group(kind: str) -> None:
    page = (DOCS / "plugins.md").read_text()
    assert f"### mmedpo_{kind}s\n`mmedpo.{kind}s`, recipe key " in page
    assert getattr(hookspecs, f"mmedpo_{kind}s").__doc__
    assert kind in CONTRACTS


def test_every_stage_and_exit_code_is_on_the_page_about_runs() -> None:
    page = (DOCS / "runs.md").read_text()
    assert all(f"`{stage}`" in page for stage in STAGES)
    for error in MmedpoError.__subclasses__():
        assert re.search(rf"^\| {error.exit_code}\b", page, re.MULTILINE), error


def test_links_between_pages_lead_somewhere() -> None:
    for page in [ROOT / "README.md", *DOCS.glob("*.md")]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)[^)]*\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_files_that_the_docs_name_exist() -> None:
    for page in [ROOT / "README.md", *DOCS.glob("*.md")]:
        for name in re.findall(r"\b((?:examples|docs|tests|plugins)/[\w./-]+\.(?:yaml|py|md))\b", page.read_text()):
            assert (ROOT / name).exists(), f"{page.name} names {name}"
