"""A bundle's configuration is code: it is run where the recipe has the hash of what was read."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

WEIGHTS = "models"  # of which tensors alone are taken


def explain_unread_code(root: Path, code: str | None) -> str:
    """Say that a bundle's code is not what the recipe names, and what to do; "" where it is."""
    now = hash_code(root)
    if code == now:
        return ""
    known = "no longer what the recipe says" if code else "code, and a run opens none that nobody has read"
    return f"{root}: its configuration is {known}: look through all but {WEIGHTS}/, then say code: {now}"


def hash_code(root: Path) -> str:
    """Return the SHA-256 of all files of a bundle but its weights, by their names."""
    files = sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
    told = [
        f"{name} {sha256((root / name).read_bytes()).hexdigest()}\n"
        for name in files
        if not name.startswith(f"{WEIGHTS}/")
    ]
    return sha256("".join(told).encode()).hexdigest()
