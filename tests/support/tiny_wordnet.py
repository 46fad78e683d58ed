"""The files of a WordNet of one noun."""

from __future__ import annotations

from pathlib import Path


def write_wordnet(folder: Path) -> None:
    """Write the files of a WordNet that has one noun in two words."""
    folder.mkdir(exist_ok=True)
    head = "  1 WordNet 3.0 Copyright\n"
    for kind in ("noun", "verb", "adj", "adv"):
        for name in (f"index.{kind}", f"data.{kind}"):
            (folder / name).write_text(head)
        (folder / f"{kind}.exc").write_text("")
    (folder / "data.noun").write_text(f"{head}{len(head):08d} 05 n 02 lump 0 node 0 000 | swelling\n")
    lines = (f"{word} n 1 0 1 0 {len(head):08d}  \n" for word in ("lump", "node"))
    (folder / "index.noun").write_text(head + "".join(lines))
