"""Know the small text that git-lfs leaves where a large file was not downloaded."""

from __future__ import annotations

POINTER = "a git-lfs pointer, not the file itself; run `git lfs pull` where it was cloned, or download the file"


def is_pointer(head: bytes) -> bool:
    """Tell from a file's first bytes whether it is such a pointer."""
    return head.startswith(b"version https://git-lfs")
