"""The blocks of code on a page, and the commands in them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent


@dataclass(frozen=True)
class Block:
    """A block of a page: fenced, with its language or none, or indented."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def list_blocks(page: Path) -> Iterator[Block]:
    """Yield the blocks of a page, outside lists and in them."""
    lines = page.read_text().splitlines()
    at = 0
    while at < len(lines):
        end = at + 1
        if fence := re.match(r"\s*(`{3,})(\w*)", lines[at]):
            while lines[end].strip() != fence[1]:
                end += 1
            yield Block(page, at + 1, fence[2] or "text", dedent("\n".join(lines[at + 1 : end])))
            end += 1
        elif lines[at].startswith("    ") and (not at or not lines[at - 1].strip() or lines[at - 1][0] in "#<"):
            while end < len(lines) and (lines[end].startswith("    ") or not lines[end].strip()):
                end += 1
            yield Block(page, at + 1, "", dedent("\n".join(lines[at:end])).rstrip())
        at = end


def list_commands(text: str) -> Iterator[list[str]]:
    """Yield the words of each command of a shell; where some have a prompt, what has none is printed."""
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    prompted = [line[2:] for line in lines if line.startswith("$ ")]
    for line in prompted or lines:
        words = shlex.split(line, comments=True)
        while words and re.fullmatch(r"\w+=.*", words[0]):
            words = words[1:]
        for end in [at for at, word in enumerate(words) if word in ("|", "&&", ">", ";")][:1]:
            words = words[:end]
        if words:
            yield words


def list_inline(page: Path, programs: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield the line and the words of each command of these programs in the text of a page."""
    command = re.compile(rf"(?<!`)`((?:{'|'.join(programs)}) [^`]+)`(?!`)")
    for number, line in enumerate(page.read_text().splitlines(), 1):
        yield from ((number, shlex.split(code.replace("...", ""))) for code in command.findall(line))
