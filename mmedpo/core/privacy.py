"""What is made of restricted data is its owner's alone, whoever writes it: we, torch, TRL, a plugin.

Keys of endpoints are written nowhere.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmedpo.core.notes import print_note

OTHERS = 0o077  # what group and others may do


@contextmanager
def private_files(wanted: bool = True) -> Iterator[None]:
    """Let all that this process writes meanwhile be its owner's alone, where it is `wanted`."""
    before = os.umask(OTHERS)
    if not wanted:
        os.umask(before)
    try:
        yield
    finally:
        os.umask(before)


def keep_private(folder: Path) -> None:
    """Write for the owner alone until a surrounding `private_files` ends, and make so what `folder` holds already."""
    os.umask(OTHERS)
    close_to_others(folder)


def close_to_others(folder: Path) -> None:
    """Take from group and others a folder and all that is in it; say where that cannot be done."""
    inside = (os.path.join(place, name) for place, folders, files in os.walk(folder) for name in (*folders, *files))
    for path in (str(folder), *inside):
        try:
            mode = os.lstat(path).st_mode
            if mode & OTHERS and not os.path.islink(path):
                os.chmod(path, mode & 0o7700)
        except FileNotFoundError:
            continue  # of one who works beside us
        except OSError as error:
            print_note(f"{path}: cannot be kept from others ({error.strerror}); its data are restricted")
            return


def keys_in_use(value: Any) -> Iterator[str]:
    """Yield the keys that a recipe's endpoints take from the environment, as far as they are there now."""
    if isinstance(value, Mapping):
        named = [value.get("key_from"), "OPENAI_API_KEY", "AZURE_OPENAI_API_KEY"] if "base_url" in value else []
        yield from (os.environ[name] for name in named if name and len(os.environ.get(name, "")) >= 8)
    for inner in value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ():
        yield from keys_in_use(inner)
