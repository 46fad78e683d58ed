"""Ray, as a run uses it: a cluster of its own that nobody else can reach, or one that runs already."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import signal
import socket
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from mmedpo.core.machine.cores import count_cores
from mmedpo.errors import RecipeError, first_line
from mmedpo.recipe.engine_options import RayOptions
from mmedpo.runtime.signals import end_with

PATIENCE = 5.0  # seconds for a cluster's door to open
STORE = 100 * 2**20  # bytes of shared memory: what is sent are records, and now and then an image
LONGEST = 20  # letters in the name of a folder: with the name of a socket in it, which Ray adds, 103 at most
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0", "RAY_ENABLE_AUTO_CONNECT": "0"}
# A cluster of its own listens to this machine alone, which Ray does where it can have no others, as on macOS; and to
# those who know a word that is in no file.
ALONE = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_AUTH_MODE": "token"}
WORD = "RAY_AUTH_TOKEN"
SERVERS = ("raylet", "gcs_server")


@contextmanager
def join_cluster(options: RayOptions) -> Iterator[Path | None]:
    """Connect to the recipe's cluster, or start one of this machine's cores and GPUs; yield its folder, if it has one.

    Raises RecipeError when that fails.
    """
    os.environ |= QUIET
    with _start_own() if options.address is None else _find_running(options.address) as where:
        import ray  # not before: it reads the environment when it is imported

        handler = signal.getsignal(signal.SIGTERM)
        try:
            ray.init(**where, log_to_driver=False, logging_level=logging.ERROR)
        except Exception as error:  # of many kinds
            raise RecipeError(_explain_no_start(options.address, error)) from error
        signal.signal(signal.SIGTERM, handler)  # Ray has put its own
        # Or it prints on the standard output, whatever `log_to_driver` says, that a worker is lost: we say it.
        ray._private.worker._worker_logs_enabled = False
        try:
            yield Path(where["_temp_dir"]) if "_temp_dir" in where else None
        finally:
            left = _list_processes()
            ray.shutdown()
            _kill(left)


def _explain_no_start(address: str | None, error: Exception) -> str:
    if address == "auto" and isinstance(error, ConnectionError):
        return "engine.address: auto: no node of a cluster runs here; start one with `ray start`, or name host:port"
    return f"engine.address: {address or 'a cluster of this machine'}: Ray does not start ({first_line(error)})"


def _list_processes() -> list[psutil.Process]:
    """Return what Ray runs for this process: a helper of its own that has just begun may outlast what began it."""
    with suppress(psutil.Error):
        servers = [child for child in psutil.Process().children() if child.name() in SERVERS]
        return servers + [one for server in servers for one in server.children(recursive=True)]
    return []


def _kill(processes: Iterable[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.Error):
            process.kill()


@contextmanager
def _start_own() -> Iterator[dict[str, Any]]:
    """Yield how to start a cluster whose files lie in a folder that goes with it."""
    os.environ |= {**ALONE, WORD: os.environ.get(WORD) or secrets.token_hex(32)}
    place = tempfile.mkdtemp(prefix="mmedpo-ray-", dir=_choose_place())

    def end() -> None:
        _kill(_list_processes())
        shutil.rmtree(place, ignore_errors=True)

    try:
        with end_with(end):
            yield {
                "address": "local",
                "num_cpus": count_cores(),
                "include_dashboard": False,
                "object_store_memory": STORE,
                "_node_ip_address": "127.0.0.1",
                "_temp_dir": place,
            }
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _choose_place() -> str:
    """Return where files for a short time go; where the name is too long, as of a job's own folder, where all do."""
    usual = tempfile.gettempdir()
    return usual if len(usual) <= LONGEST else "/tmp"


@contextmanager
def _find_running(address: str) -> Iterator[dict[str, Any]]:
    """Yield how to connect to a cluster, once its door is seen to be open: Ray itself knocks for a minute."""
    if address != "auto":
        host, _, port = address.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), PATIENCE).close()
        except OSError as error:
            raise RecipeError(f"engine.address: {address}: nobody answers there ({error.strerror or error})") from None
    yield {"address": address}


def count_rooms(options: RayOptions, device: str) -> tuple[int, float]:
    """Return how many workers a cluster has room for, and how many GPUs each of them has."""
    import ray

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    gpus = options.gpus
    if gpus == "auto":
        gpus = 1 if device != "cpu" and any(node.get("GPU", 0) for node in nodes) else 0
    return sum(_count_rooms_of(node, options.cpus, gpus) for node in nodes), gpus


def _count_rooms_of(node: Mapping[str, float], cpus: float, gpus: float) -> int:
    rooms = int(node.get("CPU", 0) / cpus + 1e-6)
    return min(rooms, int(node.get("GPU", 0) / gpus + 1e-6)) if gpus else rooms


def choose_size(options: RayOptions, device: str) -> tuple[int, float]:
    """Return how many workers there are to be, and how many GPUs each has. Raises RecipeError for more than fit."""
    rooms, gpus = count_rooms(options, device)
    wanted = 1 if options.workers == "auto" else options.workers
    if rooms < wanted:
        raise RecipeError(explain_no_room(options, gpus, rooms))
    return (rooms if options.workers == "auto" else options.workers), gpus


def explain_no_room(options: RayOptions, gpus: float, rooms: int) -> str:
    """Say what was asked of a cluster, what it has, and what would fit."""
    import ray

    each = " and ".join(_count(number, what) for number, what in ((options.cpus, "CPU"), (gpus, "GPU")) if number)
    one = options.workers in ("auto", 1)
    asked = f"a worker with {each}" if one else f"{options.workers} workers with {each} each"
    nodes = [_describe_node(node["Resources"]) for node in ray.nodes() if node["Alive"]]
    has = f"{len(nodes)} nodes, the first with {nodes[0]}" if len(nodes) > 1 else "".join(nodes) or "nothing"
    cure = f"at most {rooms} fit: lower engine.workers, cpus or gpus" if rooms else "lower engine.cpus or gpus"
    return f"engine: {asked}: there is no room, the cluster has {has}; {cure}"


def _describe_node(resources: Mapping[str, float]) -> str:
    return " and ".join(_count(resources.get(what, 0), what) for what in ("CPU", "GPU"))


def _count(number: float, what: str) -> str:
    return f"{number:g} {what}{'s' * (number != 1)}"
