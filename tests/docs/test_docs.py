"""The docs say what the code does. `MMEDPO_WRITE_DOCS=1 pytest tests/docs/test_docs.py` writes what is generated."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from conftest import ROOT, generated
from reference_pages import make_table, render_doc
from typer.testing import CliRunner

import mmedpo
from mmedpo.cli.main import app
from mmedpo.core.stage import Stage
from mmedpo.errors import MmedpoError
from mmedpo.registry import hookspecs
from mmedpo.registry.hookspecs import make_hookspec
from mmedpo.registry.kinds import KINDS, Kind

DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]


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
        done = CliRunner().invoke(app, [*command.split(), "--help"], prog_name="mmedpo", terminal_width=78)
        assert done.exit_code == 0, done.output
        blocks.append(f"## {f'mmedpo {command}'.strip()}\n```\n{done.stdout.strip()}\n```\n")
    generated(DOCS / "reference" / "cli.md", "\n".join(blocks))


def test_the_page_of_hooks_lists_every_kind() -> None:
    head = ("hook", "entry-point group", "contract", "its parts", "recipe key")
    rows = [
        (
            f"`{kind.hook}`",
            f"`{kind.group}`",
            f"[`{kind.contract.__name__}`](api.md#{kind.contract.__name__.lower()})",
            f"{kind.plural} {kind.does}: [how to write one](kinds/{kind}.md), [more about them](../{kind.page})",
            f"`{kind.key}`",
        )
        for kind in KINDS.values()
    ]
    doc = render_doc(hookspecs.__doc__ or "")
    generated(DOCS / "reference" / "hooks.md", "\n".join(["# Hooks", doc, "", *make_table(head, iter(rows)), ""]))


@pytest.mark.parametrize("kind", KINDS.values(), ids=str)
def test_every_hook_has_a_docstring_that_names_its_group_and_contract(kind: Kind) -> None:
    doc = make_hookspec(kind).__doc__ or ""
    assert kind.group in doc
    assert f"mmedpo.{kind.contract.__name__}`" in doc


def test_every_stage_and_exit_code_is_on_the_page_about_runs() -> None:
    page = (DOCS / "reference" / "runs.md").read_text()
    assert all(f"`{stage}`" in page for stage in Stage)
    for error in MmedpoError.__subclasses__():
        assert re.search(rf"^\| {error.exit_code}\b", page, re.MULTILINE), error


def test_the_changelog_begins_with_this_version() -> None:
    (first, *_) = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert first == mmedpo.__version__


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        for target, _, anchor in re.findall(r"\]\((?!\w+:)([^)#]*)(#([^)]*))?\)", page.read_text()):
            place = page.parent / target if target else page
            assert place.exists(), f"{page.name} links to {target}"
            assert not anchor or anchor in anchors(place), f"{page.name} links to {target}#{anchor}"


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page, as GitHub and the site make them of headings, and those that it sets."""
    text = page.read_text()
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE), re.MULTILINE)
    plain = [re.sub(r"\]\(.*?\)", "", heading).lower() for heading in headings]
    return {re.sub(r"[^\w -]", "", heading).replace(" ", "-") for heading in plain} | set(
        re.findall(r'<a id="(.*?)"', text)
    )


def test_files_that_the_docs_and_the_code_name_exist() -> None:
    code = [path for room in ("mmedpo", "plugins", "scripts", "examples") for path in (ROOT / room).rglob("*.*")]
    sources = [path for path in code if path.suffix in (".py", ".yaml", ".md", ".html")]
    for page in [*PAGES, *sources]:
        for name in re.findall(r"\b((?:examples|docs|tests|plugins)/[\w./-]+\.(?:yaml|py|md))\b", page.read_text()):
            assert (ROOT / name).exists(), f"{page.name} names {name}"
