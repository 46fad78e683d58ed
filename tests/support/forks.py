"""Forks of a process that has imported what commands import, one for each command: none of a test waits for torch.

A command is given as the words that would follow `python`, and is what it would be with it: a process in a folder, with
an environment, that ends with an exit code or by a signal. What it starts with its own `sys.executable` is a fork too.
"""

from __future__ import annotations

import contextlib
import os
import select
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from fork_request import ask, hear

HERE = Path(__file__).parent


class Fork:
    """A command that runs in a fork; to be used as a `Popen`. It is killed when nobody holds this any more."""

    def __init__(self, place: Path, words: Sequence[str], cwd: Path, env: Mapping[str, str], printed: Path) -> None:
        """Start it; what it prints goes to files of that name."""
        self._printed = [printed.with_suffix(f".{name}") for name in ("out", "err")]
        with ExitStack() as files:
            streams = [files.enter_context(Path(os.devnull).open("rb"))]
            streams += [files.enter_context(path.open("wb")) for path in self._printed]
            self._line, self.pid = ask(str(place), words, str(cwd), env, [stream.fileno() for stream in streams])
        self.returncode: int | None = None

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def poll(self) -> int | None:
        """Return the exit code, None while it runs."""
        if self.returncode is None and not select.select([self._line], [], [], 0)[0]:
            return None
        return self.wait()

    def wait(self) -> int:
        """Return the exit code when it has ended; a test that is interrupted here for its time kills it."""
        if self.returncode is None:
            with self._line:
                self.returncode = hear(self._line)
        return self.returncode

    def communicate(self) -> tuple[str, str]:
        """Return what it printed when it has ended."""
        self.wait()
        out, err = (path.read_text() for path in self._printed)
        return out, err


class Forks:
    """Run commands in forks of one process, which starts with the first."""

    def __init__(self, folder: Path) -> None:
        """Take a folder for what the commands print."""
        self._folder, self._count = folder, 0
        self._place = Path(tempfile.mkdtemp(prefix="forks-"))  # the name of a socket has to be short
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def python(self) -> Path:
        """Return a program that does what `python` does with the words behind it, in a fork."""
        path = self._place / "python"
        if not self._process:
            line = [sys.executable, "-SI", str(HERE / "fork_request.py"), str(self._place / "socket")]
            path.write_text(f'#!/bin/sh\nexec {shlex.join(line)} "$@"\n')
            path.chmod(0o700)
            self._start(path)
        return path

    def _start(self, python: Path) -> None:
        with socket.socket(socket.AF_UNIX) as door:
            door.bind(str(self._place / "socket"))
            door.listen(64)
            line = [sys.executable, HERE / "fork_server.py", str(door.fileno()), python]
            pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.DEVNULL}
            self._process = subprocess.Popen(line, pass_fds=[door.fileno()], start_new_session=True, **pipes)

    def run(self, words: Sequence[str], cwd: Path, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        fork = self.start(words, cwd, env)
        out, err = fork.communicate()
        return subprocess.CompletedProcess(list(words), fork.wait(), out, err)

    def start(self, words: Sequence[str], cwd: Path, env: Mapping[str, str]) -> Fork:
        """Start a command."""
        self._count += 1
        place = self.python.with_name("socket")
        return Fork(place, words, cwd, env, self._folder / f"printed-{self._count}")

    def close(self) -> None:
        """End the process and what it forked."""
        if self._process:
            self._process.communicate()
            self._process = None
        shutil.rmtree(self._place, ignore_errors=True)
