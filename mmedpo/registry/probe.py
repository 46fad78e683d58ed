"""Import one plugin in this process and print, as JSON, what it is. Run by `plugins check`, `show` and `schema`.

python -m mmedpo.registry.probe KIND PACKAGE/NAME
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict
from typing import Any

from mmedpo.errors import MmedpoError, PluginError
from mmedpo.registry.discovery import load_part, resolve_part
from mmedpo.registry.facts import PartFacts, collect_facts
from mmedpo.registry.kinds import KINDS, Kind

HEAVY = ("torch", "transformers", "trl", "peft", "monai", "datasets", "accelerate", "openai", "pandas", "scipy")


def main(kind: str, use: str) -> int:
    """Print the part's facts, or its error; return the exit code, by which the two are told apart."""
    out, sys.stdout = sys.stdout, sys.stderr  # what a plugin prints while it is imported is not the answer
    answer: Any
    try:
        answer, code = asdict(probe_part(KINDS[kind], use)), 0
    except (MmedpoError, LookupError) as error:
        answer, code = str(error), PluginError.exit_code
    print(json.dumps(answer), file=out, flush=True)
    return code


def probe_part(kind: Kind, use: str) -> PartFacts:
    """Import a part and return its facts, and what the import took."""
    before = set(sys.modules)
    start = time.perf_counter()
    cls = load_part(resolve_part(kind, use))
    seconds = round(time.perf_counter() - start, 3)
    heavy = [name for name in HEAVY if name in sys.modules and name not in before]
    return collect_facts(kind, cls, seconds, heavy)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
