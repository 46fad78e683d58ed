"""Put the packages of a folder of wheels and this tree's mmedpo into a folder of their own; without wheels, do nothing.

python scripts/on_gpu/install.py --folder FOLDER --out install.json
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = ("pyproject.toml", "README.md", "LICENSE", "mmedpo", "plugins")  # what mmedpo is built from
OFFLINE = ["-q", "--no-index", "--no-deps", "--no-compile", "--disable-pip-version-check"]


def install(folder: Path, *what: str) -> None:
    """Let pip put packages into the folder, whose own packages it sees: setuptools may be one of them."""
    line = [sys.executable, "-m", "pip", "install", *OFFLINE, "--no-build-isolation", "--target", str(folder), *what]
    subprocess.run(line, check=True, env={**os.environ, "PYTHONPATH": str(folder)})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--wheels", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    chosen = parser.parse_args()
    wheels = sorted(map(str, chosen.wheels.glob("*.whl")))
    if wheels:
        install(chosen.folder, *wheels)
        with tempfile.TemporaryDirectory() as place:  # a build leaves folders behind
            for name in SOURCES:
                copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
                copy(ROOT / name, Path(place) / name)
            install(chosen.folder, place)
    chosen.out.write_text(json.dumps({"wheels": [Path(wheel).name for wheel in wheels]}))


if __name__ == "__main__":
    main()
