"""An older transformers in an environment of its own, which sees the other packages of this one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

PINS = {  # what MedEvalKit pins, and the last 4
    "4.52.4": ("tokenizers==0.21.4", "huggingface-hub==0.36.2"),
    "4.57.6": ("tokenizers==0.22.2", "huggingface-hub==0.36.2"),
}
SCRIPT = Path(__file__).with_name("open_saved.py")


@dataclass(frozen=True)
class OlderTransformers:
    """A Python whose transformers is an older one."""

    python: Path

    @classmethod
    def install(cls, folder: Path, version: str) -> OlderTransformers:
        """Make the environment, or skip where the packages cannot be fetched."""
        venv.create(folder, with_pip=False)
        made = cls(folder / "bin" / "python")
        wanted = [f"transformers=={version}", *PINS[version]]
        install = ["install", "--quiet", "--no-deps", "--no-compile", "--retries", "1", "--disable-pip-version-check"]
        command = [sys.executable, "-m", "pip", "--python", str(made.python), *install, *wanted]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"transformers {version} cannot be installed: {done.stderr.strip().splitlines()[-1]}")
        [packages] = (folder / "lib").glob("python*/site-packages")
        (packages / "base.pth").write_text("\n".join(path for path in sys.path if path.endswith("site-packages")))
        return made

    def open(self, folders: list[Path]) -> list[dict[str, Any]]:
        """Open saved models there, and return for each what `open_saved.open_folder` says of it."""
        alone = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        command = [str(self.python), str(SCRIPT), *map(str, folders)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=alone)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
