"""One signal stops a command within seconds, wherever it strikes; what is finished is in the journal by then."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from mmedpo.core.notes import print_note
from mmedpo.runtime.processes import tell_launcher

GRACE = 4.0  # seconds to close what is open; then the process ends all the same, as a kill at any moment may end it
STOPPING = (signal.SIGINT, signal.SIGTERM)
STOPPED = "stopped; what is finished is kept. Run the same command to go on."


_last: list[Callable[[], None]] = []
_struck: list[int] = []  # signals that were turned into an interrupt


@contextmanager
def end_with(action: Callable[[], None]) -> Iterator[None]:
    """Have something done when a signal has to end the process because it does not end by itself."""
    _last.append(action)
    try:
        yield
    finally:
        _last.remove(action)


@contextmanager
def handle_signals() -> Iterator[None]:
    """Raise KeyboardInterrupt in the main thread at SIGINT or SIGTERM, and see to it that the process ends.

    Somebody else's code may swallow the exception, or the main thread may sit in C code (a matrix product, SQLite that
    waits for a lock) and never see it. So a thread watches, which the system wakes when a signal comes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    reading, waking = os.pipe()
    os.set_blocking(waking, False)
    wakeup_fd = signal.set_wakeup_fd(waking, warn_on_full_buffer=False)
    handler = signal.signal(signal.SIGTERM, _raise_interrupt)
    threading.Thread(target=_watch, args=(reading,), daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(wakeup_fd)
        signal.signal(signal.SIGTERM, handler)
        os.close(waking)


def exit_code_of(interrupt: KeyboardInterrupt) -> int:
    """Return the exit code of a stopped command: 128 and the signal's number.

    Somebody else's code, Ray's for one, may have raised an interrupt of its own in place of ours, without the number.
    """
    known = [number for number in (*interrupt.args, *_struck) if isinstance(number, int)]
    return 128 + (known[0] if known else int(signal.SIGINT))


def print_stopped() -> None:
    """Tell the user that the command was stopped and how it goes on; the terminal's ^C keeps its own line."""
    if tell_launcher(STOPPED):
        return
    with suppress(OSError):
        print(file=sys.stderr)
    print_note(STOPPED)


def _raise_interrupt(number: int, frame: Any) -> None:
    _struck.append(number)
    signal.signal(number, signal.SIG_DFL)  # a second one ends the process at once
    raise KeyboardInterrupt(number)


def _watch(reading: int) -> None:
    """End the process when a signal came and it has not ended by itself."""
    while number := os.read(reading, 1):
        if number[0] in STOPPING:
            time.sleep(GRACE)
            for action in reversed(_last):
                with suppress(Exception):
                    action()
            with suppress(ValueError):
                print_stopped()
            os._exit(128 + number[0])
    os.close(reading)
