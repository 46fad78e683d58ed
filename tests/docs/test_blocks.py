"""Every block of every page is looked at: recipes are right, commands and their options exist, code has its imports."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import tomllib
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from pkgutil import resolve_name
from tempfile import TemporaryDirectory

import pytest
from conftest import ROOT
from page_blocks import Block, list_blocks, list_commands, list_inline
from reference_pages import complete_recipe, read_fragment
from typer.main import get_command

from mmedpo.cli.main import app
from mmedpo.errors import MmedpoError
from mmedpo.recipe.loading import load_recipe
from mmedpo.recipe.planning import plan_runs

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
CHECKED = {"mmedpo", "python", "pip", "pytest", "mkdocs", "torchrun", "accelerate"}
# Programs of others that are not here, or take a cluster: people alone read their lines.
OTHERS = {"cat", "cd", "curl", "datasette", "echo", "evalscope", "export", "find", "jq", "ls", "mkdir", "ray", "vllm"}
ELSEWHERE = {
    "explanation/metrics.md": "test_metrics_page.py computes its examples",
    "reference/kinds/": "test_kinds_pages.py installs and runs the part that the recipe names",
}
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
COMMAND = get_command(app)


def blocks() -> Iterator[Block]:
    return (block for page in PAGES for block in list_blocks(page))


def is_elsewhere(page: Path) -> bool:
    return any(str(page).startswith(str(ROOT / "docs" / place)) for place in ELSEWHERE)


def is_recipe(block: Block) -> bool:
    return block.language == "yaml" or (block.language in ("", "text") and bool(list(recipes(block))))


def recipes(block: Block) -> list[str]:
    """Return what a block holds of a recipe: all of it, or a line each of several ways to say one thing."""
    parts = [block.text] if read_fragment(block.text) else block.text.splitlines()
    return parts if all(map(read_fragment, parts)) else []


def commands(block: Block) -> list[list[str]]:
    """Return the commands of a block; one that is only printed, or drawn, has none."""
    if block.language not in ("", "text", "console", "bash") or is_recipe(block):
        return []
    first = block.text.removeprefix("$ ").split(maxsplit=1)
    if block.language in ("", "text") and not ((first and first[0] in CHECKED | OTHERS) or block.text.startswith("$ ")):
        return []
    found = list(list_commands(block.text))
    return found if block.language != "bash" else [words for words in found if "mmedpo" in words]


RECIPES = [block for block in blocks() if is_recipe(block) and not is_elsewhere(block.page)]


@pytest.mark.parametrize("block", RECIPES, ids=str)
def test_a_recipe_on_a_page_is_right(block: Block, tmp_path: Path) -> None:
    parts = recipes(block)
    assert parts, f"{block}: no recipe, and no part of one"
    for part in parts:
        check_recipe(part, tmp_path / "recipe.yaml", block)


def check_recipe(text: str, place: Path, block: Block) -> None:
    if "use: radeval" in text and not find_spec("radeval"):
        return
    place.write_text(complete_recipe(text))
    try:
        read_recipes(place)
    except MmedpoError as error:
        pytest.fail(f"{block}: {error}")


def test_every_command_on_a_page_exists_with_its_options() -> None:
    said = [(block, words) for block in blocks() for words in commands(block)]
    said += [item for page in PAGES for item in inline_commands(page)]
    wrong = [f"{block}: {' '.join(words)}: {why}" for block, words in said for why in mistakes(words, block)]
    assert not wrong, "\n".join(wrong)


def inline_commands(page: Path) -> Iterator[tuple[Block, list[str]]]:
    """Yield the commands in the text of a page."""
    for line, words in list_inline(page, CHECKED):
        yield Block(page, line, "", ""), words


def mistakes(words: Sequence[str], block: Block) -> Iterator[str]:
    """Yield what is wrong with a command."""
    program = words[0]
    if "mmedpo" in words:  # perhaps behind a launcher
        yield from own_mistakes(words[words.index("mmedpo") + 1 :], block)
    elif program == "pip":
        extras = {extra for word in words for found in re.findall(r"\[(.*?)\]", word) for extra in found.split(",")}
        yield from (f"there is no extra {extra!r}" for extra in extras - EXTRAS.keys())
    elif program == "python" and (ROOT / words[1]).parts[-2] != ROOT.name:
        yield from script_mistakes(ROOT / words[1], words)
    elif program.startswith("."):
        yield from [] if (ROOT / program).exists() else ["there is no such script"]
    elif program not in CHECKED | OTHERS:
        yield "nothing looks at this program"


def own_mistakes(words: Sequence[str], block: Block) -> Iterator[str]:
    """Yield what is wrong with the words behind `mmedpo`."""
    command, rest = COMMAND, list(words)
    while hasattr(command, "commands") and rest and not rest[0].startswith("-"):
        if not (found := command.commands.get(rest.pop(0))):
            yield "there is no such command"
            return
        command = found
    known = {"--help", *(option for one in command.params for option in [*one.opts, *one.secondary_opts])}
    yield from (f"no option {word}" for word in rest if re.match(r"--?[a-z]", word) and word not in known)
    overrides = [word for word in rest[1:] if re.match(r"[\w.]+=", word)]
    if overrides and "overrides" in {one.name for one in command.params}:
        yield from override_mistakes(rest[0], overrides, block)


def override_mistakes(recipe: str, overrides: Sequence[str], block: Block) -> Iterator[str]:
    """Yield what a recipe of ours says to overrides, or, where it is anyone's, the one that the page last showed."""
    with TemporaryDirectory() as folder:
        place = ROOT / recipe
        if not place.exists():
            shown = [one for one in RECIPES if one.page == block.page and one.line < block.line]
            (place := Path(folder) / "recipe.yaml").write_text(
                complete_recipe(recipes(shown[-1])[0] if shown else "{}")
            )
        try:
            read_recipes(place, overrides)
        except MmedpoError as error:
            yield str(error)


def read_recipes(place: Path, overrides: Sequence[str] = ()) -> None:
    """Require a recipe and its variants to be right."""
    if not plan_runs(place, overrides):
        load_recipe(place, overrides)


def script_mistakes(path: Path, words: Sequence[str]) -> Iterator[str]:
    """Yield what is wrong with the words of a script of ours."""
    if not path.exists():
        yield "there is no such script"
        return
    source = "".join(file.read_text() for file in ([path] if path.is_file() else path.rglob("*.py")))
    yield from (f"no option {word}" for word in words if word.startswith("--") and f'"{word}"' not in source)


def test_scripts_and_data_on_a_page_can_be_read() -> None:
    for block in blocks():
        if block.language == "bash":
            subprocess.run(["bash", "-n"], input=block.text, text=True, check=True)
        elif block.language == "json":
            json.loads(block.text)
        elif block.language == "toml":
            tomllib.loads(block.text)
        elif block.language == "python":
            check_python(block)


def check_python(block: Block) -> None:
    """Require code to be Python, and what it imports of ours to be there."""
    for node in ast.walk(ast.parse(block.text)):
        if isinstance(node, ast.ImportFrom) and str(node.module).partition(".")[0] == "mmedpo":
            for name in node.names:
                resolve_name(f"{node.module}:{name.name}")


def test_a_block_has_a_language_that_is_looked_at() -> None:
    known = {"", "text", "yaml", "console", "bash", "python", "json", "toml"}
    assert [str(block) for block in blocks() if block.language not in known] == []
    assert [str(block) for block in blocks() if block.language in ("console", "bash") and not commands(block)] == []
    bare = [block for block in blocks() if block.language in ("", "text") and re.search(r"^[^$]*\buse: ", block.text)]
    assert [str(block) for block in bare if not is_recipe(block) and not commands(block)] == []
