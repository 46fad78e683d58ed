"""A hook of mkdocs: what a page links to outside docs/, an example, say, becomes a page of the site."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files, InclusionLevel

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"\]\((?!\w+:)([^)#\s]+)(#[^)\s]*)?\)")
LANGUAGES = {".py": "python", ".yaml": "yaml", ".toml": "toml", ".sh": "bash", ".json": "json"}


def on_files(files: Files, config: Any) -> Files:
    """Add a page for each file that a page links to, and for each that such a page links to."""
    waiting = [f"docs/{file.src_uri}" for file in files.documentation_pages()]
    for page in waiting:
        for place in links(page, (ROOT / page).read_text() if page.endswith(".md") else ""):
            if files.get_file_from_path(site_place(place)) is None and (ROOT / place).exists():
                content = show(place)
                files.append(
                    File.generated(config, site_place(place), content=content, inclusion=InclusionLevel.NOT_IN_NAV)
                )
                waiting.append(place)
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Let links lead to where the site has the file."""
    here = page.file.src_uri
    source = here[len("files/") :] if here.startswith("files/") else f"docs/{here}"
    source = source if (ROOT / source).exists() else source.removesuffix(".md")

    def turn(found: re.Match[str]) -> str:
        place = posixpath.normpath(posixpath.join(posixpath.dirname(source), found[1]))
        if source.startswith("docs/") and place.startswith("docs/"):
            return found[0]
        return f"]({posixpath.relpath(site_place(place), posixpath.dirname(here))}{found[2] or ''})"

    return LINK.sub(turn, markdown)


def links(page: str, text: str) -> Iterator[str]:
    """Yield the files of the repository that a page links to."""
    for target, _ in LINK.findall(text):
        yield posixpath.normpath(posixpath.join(posixpath.dirname(page), target))


def site_place(place: str) -> str:
    """Return where the site has a file of the repository."""
    if place.startswith("docs/"):
        return place.removeprefix("docs/")
    return f"files/{place}" if place.endswith(".md") else f"files/{place}.md"


def show(place: str) -> str:
    """Return the page of a file, or of a folder."""
    path = ROOT / place
    if path.suffix == ".md":
        return path.read_text()
    parts = [path] if path.is_file() else sorted(item for item in path.rglob("*") if is_source(item))
    blocks = [f"````{LANGUAGES.get(part.suffix, 'text')}\n{part.read_text().strip()}\n````\n" for part in parts]
    if path.is_file():
        return f"# {place}\n\n{blocks[0]}"
    names = [f"## {part.relative_to(path)}" for part in parts]
    return f"# {place}\n\n" + "\n".join(f"{name}\n{block}" for name, block in zip(names, blocks, strict=True))


def is_source(path: Path) -> bool:
    """Whether a file of a folder is one that somebody wrote."""
    parts = path.relative_to(ROOT).parts
    return path.is_file() and not any(part.startswith((".", "__")) or part.endswith(".egg-info") for part in parts[:-1])
