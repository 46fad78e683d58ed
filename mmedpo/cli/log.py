"""What `-v` shows: the records of the logger `mmedpo` on the error output, with their time. Nothing without it."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from mmedpo.core.notes import printable

LEVELS = (logging.WARNING, logging.INFO, logging.DEBUG)  # of no -v, of one, of two


@contextmanager
def show_log(verbosity: int) -> Iterator[None]:
    """Show what is logged meanwhile: with one -v what happens, with two why."""
    logger, handler = logging.getLogger("mmedpo"), _StderrHandler()
    handler.setFormatter(_LineFormatter(f"%(asctime)s %(levelname)s {_name_process()}%(name)s: %(message)s"))
    before = logger.level, logger.handlers, logger.propagate
    level = LEVELS[min(verbosity, len(LEVELS) - 1)]
    logger.setLevel(min(level, logger.level or level))  # of a -v before and one after the command, the wordier
    logger.handlers, logger.propagate = [handler], False  # else twice, where a library sets up the root logger
    try:
        yield
    finally:
        logger.handlers, logger.propagate = before[1:]
        logger.setLevel(before[0])


def _name_process() -> str:
    """Name this process, where several train together."""
    return f"[{os.environ['RANK']}] " if "RANK" in os.environ else ""


class _StderrHandler(logging.Handler):
    """Print on what is the error output just then: progress bars put themselves before it."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            print(self.format(record), file=sys.stderr, flush=True)
        except OSError:  # a full disk
            pass
        except Exception:
            self.handleError(record)


class _LineFormatter(logging.Formatter):
    """A record in a line, in which no text of others commands the terminal."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        return printable(super().formatMessage(record))
