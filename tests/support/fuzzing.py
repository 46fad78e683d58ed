"""How much is drawn: little and always the same in CI; with MMEDPO_FUZZ=N, N times as much, anew each time."""

from __future__ import annotations

import os
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

TIMES = int(os.environ.get("MMEDPO_FUZZ", "1"))


def fuzz(examples: int, **options: Any) -> settings:
    """Return the settings of a fuzz test that draws so many examples in CI."""
    return settings(
        max_examples=examples * TIMES,
        derandomize=TIMES == 1,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
        **options,
    )


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """Change, insert, repeat or cut some bytes of a file, of its beginning above all."""
    data = bytearray(content)
    for _ in range(draw(st.integers(1, 6))):
        most = min(len(data), draw(st.sampled_from([16, 64, 256, len(data)]))) or 1
        at = draw(st.integers(0, most - 1))
        how = draw(st.sampled_from(["change", "extreme", "insert", "repeat", "remove", "cut"]))
        if how == "change":
            data[at : at + 1] = draw(st.binary(min_size=1, max_size=1))
        elif how == "extreme":
            width = draw(st.sampled_from([1, 2, 4]))
            data[at : at + width] = draw(st.sampled_from([b"\0", b"\xff", b"\x7f", b"\x80", b"\1"])) * width
        elif how == "insert":
            data[at:at] = draw(st.binary(max_size=8))
        elif how == "repeat":
            data[at:at] = data[at : at + draw(st.integers(1, 40))] * draw(st.sampled_from([1, 2, 50]))
        elif how == "remove":
            del data[at : at + draw(st.integers(1, 8))]
        elif len(data) > 1:
            del data[draw(st.integers(1, len(data) - 1)) :]
    return bytes(data)
