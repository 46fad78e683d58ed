"""What a browser lets a page of ours do: run its own script, and ask nobody for anything."""

from __future__ import annotations

import base64
import hashlib


def write_policy(script: str, style: str) -> str:
    """Return the content security policy of a page whose one script and one style sheet are these, to the letter.

    Nothing else runs or is styled by rules, nothing is loaded but what the page holds (images as data:), and no form
    goes anywhere. Styles of single elements stay allowed: places in a picture are written so, and they ask nobody.
    """
    return "; ".join(
        (
            "default-src 'none'",
            "base-uri 'none'",
            "form-action 'none'",
            "img-src data:",
            f"script-src '{hash_inline(script)}'",
            f"style-src-elem '{hash_inline(style)}'",
            "style-src-attr 'unsafe-inline'",
        )
    )


def hash_inline(text: str) -> str:
    """Return what a content security policy calls an inline script or style."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
