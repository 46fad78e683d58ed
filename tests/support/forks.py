"""A process that has imported what commands import, and forks one for each: no command of a test waits for torch.

Such a command is what `python -m mmedpo` is: a process in a folder, with an environment, that ends with an exit code
or by a signal. Run as a program, this file is the process that forks; it takes a line of JSON a command.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import pkgutil
import runpy
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

LIBRARIES = (
    *("torch", "peft", "trl", "datasets", "openai", "rich.console", "ruamel.yaml", "jinja2", "PIL.Image"),
    *("transformers.models.llava.modeling_llava", "transformers.models.llava.processing_llava"),
    *("transformers.models.clip.modeling_clip", "transformers.models.mistral.modeling_mistral"),
    *("transformers.models.clip.image_processing_pil_clip", "transformers.generation.utils"),
    *("matplotlib.figure", "matplotlib.backends.backend_agg", "matplotlib.backends.backend_svg"),
)


class Forks:
    """Run commands in forks of one process, one at a time."""

    def __init__(self, folder: Path) -> None:
        """Take a folder for what the commands print."""
        self._printed = [folder / name for name in ("stdout", "stderr")]
        self._process: subprocess.Popen[str] | None = None

    def run(self, words: Sequence[str], cwd: Path, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        task = {"words": list(words), "cwd": str(cwd), "env": dict(env), "printed": [*map(str, self._printed)]}
        try:
            code = int(self._asked(json.dumps(task)))
        except BaseException:  # a test that takes too long is interrupted here
            self.close()
            raise
        out, err = (path.read_text() for path in self._printed)
        return subprocess.CompletedProcess(list(words), code, out, err)

    def _asked(self, line: str) -> str:
        if not self._process:
            pipe, own = subprocess.PIPE, [sys.executable, __file__]
            self._process = subprocess.Popen(own, stdin=pipe, stdout=pipe, text=True, start_new_session=True)
        assert self._process.stdin
        assert self._process.stdout
        print(line, file=self._process.stdin, flush=True)
        return self._process.stdout.readline()

    def close(self) -> None:
        """End the process and what it forked."""
        if self._process:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGTERM)
            self._process.communicate()
            self._process = None


def prepare() -> None:
    """Import what commands import, and no plugin."""
    for name in LIBRARIES:
        importlib.import_module(name)
    import mmedpo

    for module in pkgutil.walk_packages(mmedpo.__path__, "mmedpo."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    gc.collect()
    gc.freeze()  # what is there already is neither looked through nor copied


def serve() -> dict[str, Any] | None:
    """Fork for each command that comes; return the command in the fork, and None when no more come."""
    for line in iter(sys.stdin.readline, ""):
        pid = os.fork()
        if not pid:
            return dict(json.loads(line))
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
    return None


def become(words: Sequence[str], cwd: str, env: Mapping[str, str], printed: Sequence[str]) -> None:
    """Go on as the process of a command."""
    for number, path in enumerate([os.devnull, *printed]):
        how = os.O_WRONLY | os.O_CREAT | os.O_TRUNC if number else os.O_RDONLY
        os.dup2(os.open(path, how, 0o600), number)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    sys.path[:0] = [cwd, *filter(None, env.get("PYTHONPATH", "").split(os.pathsep))]
    importlib.invalidate_caches()
    sys.argv = ["mmedpo", *words]


def carry_out() -> int:
    """Run the command; return the exit code, as Python has it."""
    try:
        runpy.run_module("mmedpo", run_name="__main__", alter_sys=True)
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else int(done.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def leave(code: int) -> None:
    """End as Python does, but let nobody take all modules apart: that would copy what is shared."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    sys.path.pop(0)  # the folder of this file
    prepare()
    if task := serve():
        become(**task)
        leave(carry_out())
