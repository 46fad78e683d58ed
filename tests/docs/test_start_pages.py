"""The pages of the start: what they show is what the README and pyproject.toml say."""

from __future__ import annotations

import re
import tomllib

from conftest import ROOT

START = ROOT / "docs" / "start"
QUICKSTART = (START / "quickstart.md").read_text()
README = (ROOT / "README.md").read_text()


def test_the_readme_shows_lines_of_what_the_quickstart_prints() -> None:
    printed = QUICKSTART.partition("<!-- output -->\n")[2].partition("<!-- end of output -->")[0].splitlines()
    shown = README.partition("## What the first command shows\n")[2].partition("\n\n")[0].splitlines()
    lines = [re.sub(r" \([\d.]+ s\)$", "", line.removeprefix("    ")) for line in shown]
    assert len(lines) > 40
    assert [line for line in lines if not any(one.startswith(line.removesuffix(", ...")) for one in printed)] == []


def test_both_have_the_same_first_command() -> None:
    (command,) = re.findall(r"<!-- run command -->\n    (.*)", README)
    assert all(command in page for page in (QUICKSTART, (ROOT / "docs" / "index.md").read_text()))


def test_pictures_are_small_and_all_are_shown() -> None:
    pictures = list(START.glob("*.png"))
    assert max(picture.stat().st_size for picture in (ROOT / "docs").rglob("*.png")) < 150_000
    assert {picture.name for picture in pictures} == set(re.findall(r"\]\(([\w-]+\.png)\)", QUICKSTART))


def test_the_page_about_installing_names_every_extra() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(re.findall(r"^\| `(\w+)`", (START / "install.md").read_text(), re.MULTILINE)) == set(extras)
