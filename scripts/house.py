"""Count what makes a house hard to find one's way in: modules a room, long modules, class names that say little.

    python scripts/house.py [FOLDER...]        FOLDERs with packages; by default mmedpo and plugins

A class name of one word could be its neighbour's; a participle (`Found`, `Laid`) names no thing.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+")
PARTICIPLE = re.compile(r"(ed|ing|Made|Laid|Found|Shown|Told|Said|Seen|Known|Kept|Given|Drawn|Written|Read)$")
NOUNS = ("Setting", "Encoding", "Weighting", "Rating", "Inpainting", "Finding", "Spending")
LINES, MODULES = 350, 15


def class_names(folder: Path) -> Iterator[str]:
    """Yield the name of each class below a folder."""
    for path in sorted(folder.rglob("*.py")):
        yield from (node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ClassDef))


def is_participle(name: str) -> bool:
    """Tell whether the noun of a class name, its last word, is a participle."""
    return PARTICIPLE.search(name) is not None and not name.endswith(NOUNS)


def modules_by_room(package: Path) -> dict[str, Counter[str]]:
    """Return for each folder of a package its modules with their lines, package docstrings aside."""
    rooms: dict[str, Counter[str]] = defaultdict(Counter)
    for path in sorted(package.rglob("*.py")):
        if path.name != "__init__.py":
            rooms[str(path.parent.relative_to(package.parent))][path.name] = len(path.read_text().splitlines())
    return rooms


def crowded(package: Path) -> list[str]:
    """Name the rooms and modules of a package that are too large."""
    wrong = []
    for room, modules in modules_by_room(package).items():
        if len(modules) > MODULES:
            wrong.append(f"{room}: {len(modules)} modules")
        wrong += [f"{room}/{name}: {lines} lines" for name, lines in modules.items() if lines > LINES]
    return wrong


def main(folders: Sequence[str]) -> None:
    """Print rooms, then the share of class names."""
    packages = [Path(folder) for folder in folders or ("mmedpo", "plugins/mmedpo_plugins")]
    for package in packages:
        for room, modules in modules_by_room(package).items():
            longest, lines = modules.most_common(1)[0]
            print(f"{room:<44} {len(modules):3} modules, the longest {longest} with {lines} lines")
    names = [name for package in packages for name in class_names(package)]
    short = sum(len(WORD.findall(name)) == 1 for name in names)
    made = sum(map(is_participle, names))
    print(f"{len(names)} classes: {short / len(names):.0%} of one word, {made / len(names):.0%} participles")
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    print(f"names of several classes: {', '.join(twice) or 'none'}")


if __name__ == "__main__":
    main(sys.argv[1:])
