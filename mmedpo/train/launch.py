"""Start training in several processes, and lend them the run folder that this one holds."""

from __future__ import annotations

import logging
import os
import shlex
import subprocess
import sys
from pathlib import Path

from mmedpo.errors import RecipeError
from mmedpo.recipe.train_options import LaunchOptions, TrainOptions
from mmedpo.store.run_folder import lent
from mmedpo.train.batches.step_layout import share_steps
from mmedpo.train.strategy import require_strategy

logger = logging.getLogger(__name__)


def launch_training(options: TrainOptions, device: str, folder: Path) -> None:
    """Run `mmedpo train` on a folder in several processes. Raises RecipeError when it ends badly.

    The first of them writes the adapter and training.json; what they print goes to stderr.
    """
    assert options.launch is not None
    share_steps(options, options.launch.processes or 1)
    require_strategy(options.launch.strategy)
    line = build_command(options.launch, device, folder)
    handle, lock = lent(folder)
    logger.info("starting %s", shlex.join(line))
    launcher = subprocess.Popen(line, env=os.environ | lock, stdout=sys.stderr.fileno(), pass_fds=[handle])
    try:
        code = launcher.wait()
    except BaseException:
        launcher.terminate()
        launcher.wait()
        raise
    if code:
        raise RecipeError(
            f"train.launch: training in several processes ended with code {code}; its own lines are above. "
            f"Run the same command to go on. What was started: {' '.join(line)}"
        )


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
