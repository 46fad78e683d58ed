"""torchrun or `accelerate launch` as a process that keeps to itself how it was ended, but for what the user can use.

`python -m mmedpo.train.ranks.launcher REASON MODULE ARGUMENT...` does what `python -m MODULE ARGUMENT...` would, and
writes into the file REASON which process failed first, and how.
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Any

STOPPED = (-15, 143, 130)  # exit codes of those that were stopped because another had ended


def launch_ranks(module: str, words: list[str]) -> None:
    """Start processes and wait for them. Raises torch's ChildFailedError when one fails."""
    if module == "torch.distributed.run":
        from torch.distributed.run import parse_args, run

        run(parse_args(words))
    else:
        from accelerate.commands.launch import launch_command, launch_command_parser

        launch_command(launch_command_parser().parse_args(words))


def find_cause(failures: dict[int, Any]) -> dict[str, Any]:
    """Tell which process failed first: its number, its exit code, and what it said of it."""
    number = min(failures, key=lambda rank: (failures[rank].exitcode in STOPPED, failures[rank].timestamp))
    failure = failures[number]
    told = failure.message if Path(failure.error_file).is_file() else ""
    return {"process": number, "code": failure.exitcode, "told": told["message"] if isinstance(told, dict) else told}


def main(reason: Path, module: str, words: list[str]) -> int:
    """Launch, and write down what went wrong."""
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    logging.disable(logging.ERROR)
    try:
        launch_ranks(module, words)
    except ChildFailedError as error:
        reason.write_text(json.dumps(find_cause(error.failures)))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:]))
