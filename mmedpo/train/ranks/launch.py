"""Start training in several processes, and lend them the run folder that this one holds."""

from __future__ import annotations

import logging
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

from mmedpo.errors import DataError, MmedpoError, PluginError, RecipeError
from mmedpo.recipe.train_options import LaunchOptions, TrainOptions
from mmedpo.runtime.processes import LAUNCHED
from mmedpo.store.run_folder import lent, read_json

logger = logging.getLogger(__name__)

AGAIN = "What is finished is kept: run the same command to go on."


def launch_training(options: TrainOptions, device: str, folder: Path) -> None:
    """Run `mmedpo train` on a folder in several processes. Raises the error that the first to fail ended with.

    The first of them writes the adapter and training.json; what they print goes to stderr.
    """
    assert options.launch is not None
    line = build_command(options.launch, device, folder)
    logger.info("starting %s", shlex.join(line))
    reason = folder / f".launch.{os.getpid()}"  # named as what a later run takes away where this one is killed
    try:
        code = _run_launcher([*line[:2], "mmedpo.train.ranks.launcher", str(reason), *line[2:]], folder)
        if failure := read_json(reason):
            raise explain_failure(**failure)
        if code:
            raise MmedpoError(f"train.launch: the launcher ended with code {code}: {shlex.join(line)}. {AGAIN}")
    finally:
        reason.unlink(missing_ok=True)


def _run_launcher(line: list[str], folder: Path) -> int:
    """Run a launcher to its end, however this process is stopped; return its exit code."""
    handle, lock = lent(folder)
    environment = os.environ | lock | {LAUNCHED: "1"}
    launcher = subprocess.Popen(line, env=environment, stdout=sys.stderr.fileno(), pass_fds=[handle])
    try:
        return launcher.wait()
    except BaseException:
        launcher.terminate()
        launcher.wait()
        raise


def explain_failure(process: int, code: int, told: str) -> MmedpoError:
    """Return the error that a process of the training ended with, in one line."""
    kind = {error.exit_code: error for error in (RecipeError, PluginError, DataError)}.get(code, MmedpoError)
    if told:
        return kind(f"training process {process}: {told}")
    if code < 0:
        why = "; the system does so where memory runs out" if code == -signal.SIGKILL else ""
        how = f"was ended by {signal.Signals(-code).name}{why}"
    else:
        how = f"ended with code {code}; its own lines are above"
    return kind(f"training process {process} {how}. The others were stopped. {AGAIN}")


def build_command(options: LaunchOptions, device: str, folder: Path) -> list[str]:
    """Return the line that trains in several processes: through torchrun, with a file of accelerate through that."""
    job = ["-m", "mmedpo", "train", str(folder), *_verbosity()]
    if options.config is None:
        count = options.processes or (1 if device == "cpu" else "gpu")
        return [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={count}", *job]
    number = [] if options.processes is None else ["--num_processes", str(options.processes)]
    return [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(options.config), *number, *job]


def _verbosity() -> list[str]:
    """Return what lets another process log as this one does."""
    return {logging.INFO: ["-v"], logging.DEBUG: ["-vv"]}.get(logging.getLogger("mmedpo").level, [])
