"""The process that has imported what commands import, and forks one for each that is asked for: see forks.py."""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
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


class Server:
    """Fork a command for each who asks for one, tell them how it ends, and end it when they hang up."""

    def __init__(self, door: int) -> None:
        """Be asked at an open socket."""
        self.door = socket.socket(fileno=door)
        self.ended, self.wake = socket.socketpair()  # readable when a process has ended
        self.wake.setblocking(False)
        signal.set_wakeup_fd(self.wake.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self.running: dict[socket.socket, int] = {}

    def serve(self) -> dict[str, Any] | None:
        """Return a command in the fork that is to carry it out, and None when nobody will ask any more."""
        while True:
            ready, _, _ = select.select([sys.stdin, self.door, self.ended, *self.running], [], [])
            self.reap()
            if sys.stdin in ready:
                for line in list(self.running):
                    self.end(line)
                return None
            for line in self.running.keys() & set(ready):
                self.end(line)
            if self.door in ready and (task := self.start(self.door.accept()[0])):
                return task

    def start(self, line: socket.socket) -> dict[str, Any] | None:
        """Fork; return the command in the fork."""
        _, streams, _, _ = socket.recv_fds(line, 1, 3)
        with line.makefile() as said:
            asked = said.readline()
        if not asked.endswith("\n"):  # who asked is gone already
            line.close()
            return None
        process = os.fork()
        if not process:
            self.leave()
            line.close()
            return {**json.loads(asked), "streams": streams}
        for stream in streams:
            os.close(stream)
        with contextlib.suppress(OSError):
            os.setpgid(process, process)
        self.running[line] = process
        self.tell(line, process)
        return None

    def leave(self) -> None:
        """Be the server no more, but a process with what it starts."""
        os.setpgid(0, 0)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for line in (self.door, self.ended, self.wake, *self.running):
            line.close()

    def reap(self) -> None:
        """Tell those who asked how their commands ended."""
        with contextlib.suppress(BlockingIOError):
            self.ended.recv(4096, socket.MSG_DONTWAIT)
        asked = {process: line for line, process in self.running.items()}
        with contextlib.suppress(ChildProcessError):
            while (end := os.waitpid(-1, os.WNOHANG))[0]:
                if line := asked.get(end[0]):
                    self.tell(line, os.waitstatus_to_exitcode(end[1]))
                    del self.running[line]
                    line.close()

    def tell(self, line: socket.socket, number: int) -> None:
        """Say a number to who asked, if they are still there."""
        with contextlib.suppress(OSError):
            line.sendall(f"{number}\n".encode())

    def end(self, line: socket.socket) -> None:
        """End a command, and what it started, for which nobody waits."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.running.pop(line), signal.SIGKILL)
        line.close()


def become(words: Sequence[str], cwd: str, env: Mapping[str, str], streams: Sequence[int]) -> int:
    """Go on as the process of a command; return its exit code."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
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
    _, door, python = sys.argv
    prepare()
    server = Server(int(door))
    sys.executable = python
    if task := server.serve():
        leave(become(**task))
