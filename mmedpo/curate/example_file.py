"""A file that training learns from: the pairs of a run, or its cases."""

from __future__ import annotations

import filecmp
from collections.abc import Iterable
from pathlib import Path

from mmedpo.core.records import Case, WeightedPair, to_json
from mmedpo.runtime.context import RunContext
from mmedpo.store.image_links import ImageLinks
from mmedpo.store.result_keys import set_aside
from mmedpo.store.run_folder import json_line, write_whole


def write_examples(run: RunContext, name: str, examples: Iterable[WeightedPair | Case]) -> list[str]:
    """Write a line an example, with every image that a part made under images/; return their pixel hashes."""
    path, links = run.folder / name, ImageLinks(run.folder, run.journal)

    def is_new(beside: Path) -> bool:
        """Tell whether the examples are others than lie there; what was trained from those is then set aside."""
        if path.exists() and filecmp.cmp(beside, path, shallow=False):
            return False
        run.did = True
        set_aside(run.folder, "adapter")
        return True

    lines = (f"{json_line(links.link(to_json(item)))}\n".encode() for item in examples)
    write_whole(path, lambda file: file.writelines(lines), wanted=is_new)
    return links.made
