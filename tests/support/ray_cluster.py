"""A Ray cluster of two processors on this machine as a user would start it, and a node beside it that can leave."""

from __future__ import annotations

import ctypes
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import psutil

STORE = 80 * 2**20  # bytes of shared memory, about the least that Ray takes


class RayNode:
    """What `ray start` starts; it ends with the process that made this, however that ends."""

    def __init__(self, environment: Mapping[str, str], *words: str) -> None:
        """Start it; its files lie in a folder of its own, whose name has to be short."""
        self._folder = Path(tempfile.mkdtemp(prefix="rn-"))
        line = [sys.executable, "-m", "ray.scripts.scripts", "start", *words, "--block", "--disable-usage-stats"]
        line += ["--node-ip-address", "127.0.0.1", "--object-store-memory", str(STORE), "--temp-dir", str(self._folder)]
        with (self._folder / "printed").open("wb") as printed:
            self._process = subprocess.Popen(
                line, env=environment, stdout=printed, stderr=subprocess.STDOUT, start_new_session=True,
                preexec_fn=_die_with_parent,
            )  # fmt: skip

    @property
    def printed(self) -> str:
        """What it has said so far."""
        return (self._folder / "printed").read_text()

    def require_alive(self) -> None:
        """Fail when it has ended."""
        assert self._process.poll() is None, self.printed

    def processes(self) -> list[psutil.Process]:
        """Return it and all that it started."""
        with suppress(psutil.NoSuchProcess):
            start = psutil.Process(self._process.pid)
            return [start, *start.children(recursive=True)]
        return []

    def kill(self) -> None:
        """End all of it at once, as a power cut does."""
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG; `ray start --block` ends the rest


class RayCluster:
    """A head with two processors."""

    def __init__(self, environment: Mapping[str, str], home: Path) -> None:
        """Start it; `environment` is what workers have too."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self.address = f"127.0.0.1:{self._port}"
        word = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "ab" * 32}
        self.environment = {**environment, **word, "HOME": str(home), "RAY_ADDRESS": ""}
        words = ["--head", "--port", str(self._port), "--num-cpus", "2", "--include-dashboard", "false"]
        self._head = RayNode(self.environment, *words)
        while not self._is_open():
            self._head.require_alive()
            time.sleep(0.1)

    def _is_open(self) -> bool:
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", self._port), 1).close()
            return "Ray runtime started" in self._head.printed
        return False

    def add_node(self) -> RayNode:
        """Start another node, with one processor."""
        node = RayNode(self.environment, "--address", self.address, "--num-cpus", "1")
        while "Ray runtime started" not in node.printed:
            node.require_alive()
            time.sleep(0.1)
        return node

    def close(self) -> None:
        """End it."""
        self._head.kill()
