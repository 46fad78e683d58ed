"""A LLaVA-Med of drawn weights on the disk, as `scripts/make_llava_med_7b.py` writes it."""

from __future__ import annotations

import sys
from pathlib import Path

SCRIPTS = Path(__file__).parents[3] / "scripts"


def make_checkpoint(size: str, layers: int | None, folder: Path) -> int:
    """Write a checkpoint of drawn weights."""
    sys.path.insert(0, str(SCRIPTS))
    import make_llava_med_7b as script

    chosen = script.SIZES[size]
    if layers:
        chosen = script.Size(**{**vars(chosen), "layers": layers})
    script.write_release(folder, chosen)
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))
