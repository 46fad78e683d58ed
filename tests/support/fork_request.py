"""Ask the process that forks for a command. As a program, this file is a Python that is there at once.

It imports little, so that it starts in a few milliseconds, and stays while its command runs: it hands on the signals
that it gets, ends as the command does, and takes the command with it when it is killed.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence


def ask(
    place: str, words: Sequence[str], cwd: str, env: Mapping[str, str], streams: Sequence[int]
) -> tuple[socket.socket, int]:
    """Start a command on three streams; return the line on which its exit code comes, and its process."""
    line = socket.socket(socket.AF_UNIX)
    line.connect(place)
    task = json.dumps({"words": list(words), "cwd": cwd, "env": dict(env)})
    socket.send_fds(line, [b"\n"], streams)
    line.sendall(f"{task}\n".encode())
    return line, hear(line)


def hear(line: socket.socket) -> int:
    """Wait for a number."""
    said = b""
    while not said.endswith(b"\n"):
        if not (more := line.recv(1)):
            raise EOFError("the process that forks is gone")
        said += more
    return int(said)


def main(place: str, words: list[str]) -> int:
    """Run a command as Python would that is called with these words; return its exit code."""
    if words[:1] == ["-u"]:  # the launcher of torch writes so
        del words[0]
    if not words or (words[0].startswith("-") and words[0] not in ("-m", "-c")):
        os.execv(sys.executable, [sys.executable, *words])
    line, process = ask(place, words, os.getcwd(), os.environ, [0, 1, 2])
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: os.kill(process, number))
    code = hear(line)
    if code < 0:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
