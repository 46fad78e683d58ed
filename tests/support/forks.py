"""A process that has imported what commands import, and forks one for each: no command of a test waits for torch.

A command is given as the words that would follow `python`, and is what it would be with it: a process in a folder, with
an environment, that ends with an exit code or by a signal. Run as a program, this file is the process that forks.
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


class Fork:
    """A command that runs in a fork; to be used as a `Popen`."""

    def __init__(self, forks: Forks, words: Sequence[str], cwd: Path, env: Mapping[str, str], printed: Path) -> None:
        """Start it; what it prints goes to files of that name."""
        self._forks, self._words = forks, list(words)
        self._printed = [printed.with_suffix(f".{name}") for name in ("out", "err")]
        task = {"words": self._words, "cwd": str(cwd), "env": dict(env), "printed": [*map(str, self._printed)]}
        self.pid = forks.ask({"start": task})
        self.returncode: int | None = None

    def send_signal(self, number: int) -> None:
        """Send it a signal; it is there, though it may have ended, as long as nobody asked for its exit code."""
        if self.returncode is None:
            os.kill(self.pid, number)

    def poll(self) -> int | None:
        """Return the exit code, None while it runs."""
        if self.returncode is None:
            self.returncode = self._forks.ask({"poll": self.pid})
        return self.returncode

    def wait(self) -> int:
        """Return the exit code when it has ended."""
        if self.returncode is None:
            self.returncode = self._forks.ask({"wait": self.pid})
        return self.returncode

    def communicate(self) -> tuple[str, str]:
        """Return what it printed when it has ended."""
        self.wait()
        out, err = (path.read_text() for path in self._printed)
        return out, err


class Forks:
    """Run commands in forks of one process."""

    def __init__(self, folder: Path) -> None:
        """Take a folder for what the commands print."""
        self._folder, self._count = folder, 0
        self._process: subprocess.Popen[str] | None = None

    def run(self, words: Sequence[str], cwd: Path, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        fork = self.start(words, cwd, env)
        out, err = fork.communicate()
        return subprocess.CompletedProcess(list(words), fork.wait(), out, err)

    def start(self, words: Sequence[str], cwd: Path, env: Mapping[str, str]) -> Fork:
        """Start a command."""
        self._count += 1
        return Fork(self, words, cwd, env, self._folder / f"printed-{self._count}")

    def ask(self, what: dict[str, Any]) -> Any:
        """Have the process that forks do something."""
        if not self._process:
            pipe, own = subprocess.PIPE, [sys.executable, __file__]
            self._process = subprocess.Popen(own, stdin=pipe, stdout=pipe, text=True, start_new_session=True)
        assert self._process.stdin
        assert self._process.stdout
        try:
            print(json.dumps(what), file=self._process.stdin, flush=True)
            return json.loads(self._process.stdout.readline())
        except BaseException:  # a test that takes too long is interrupted here
            self.close()
            raise

    def close(self) -> None:
        """End the process and what it forked."""
        if self._process:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
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
    """Do what is asked for; return a command in the fork that is to carry it out, and None when no more comes."""
    for line in iter(sys.stdin.readline, ""):
        ((what, value),) = json.loads(line).items()
        if what == "start":
            told: int | None = os.fork()
            if not told:
                return dict(value)
        else:
            pid, status = os.waitpid(value, os.WNOHANG if what == "poll" else 0)
            told = os.waitstatus_to_exitcode(status) if pid else None
        print(json.dumps(told), flush=True)
    return None


def become(words: Sequence[str], cwd: str, env: Mapping[str, str], printed: Sequence[str]) -> int:
    """Go on as the process of a command; return its exit code."""
    for number, path in enumerate([os.devnull, *printed]):
        how = os.O_WRONLY | os.O_CREAT | os.O_TRUNC if number else os.O_RDONLY
        os.dup2(os.open(path, how, 0o600), number)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    sys.path[:0] = filter(None, env.get("PYTHONPATH", "").split(os.pathsep))
    importlib.invalidate_caches()
    try:
        carry_out(words)
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else int(done.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def carry_out(words: Sequence[str]) -> None:
    """Do what Python does with the words behind its name: `-m MODULE`, `-c CODE` or a file."""
    if words[0] in ("-m", "-c"):
        sys.path.insert(0, "")
        sys.argv = [words[0], *words[2:]]
        if words[0] == "-m":
            runpy.run_module(words[1], run_name="__main__", alter_sys=True)
        else:
            exec(words[1], {"__name__": "__main__"})
    else:
        sys.path.insert(0, str(Path(words[0]).parent))
        sys.argv = list(words)
        runpy.run_path(words[0], run_name="__main__")


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
        leave(become(**task))
