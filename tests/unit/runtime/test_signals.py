"""One signal stops within seconds, wherever it strikes."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

BODIES = {
    "in python": "ready()\nwhile True: time.sleep(0.01)",
    "in code that swallows it": """
while True:
    try:
        ready()
        time.sleep(0.01)
    except BaseException:
        pass
""",
    "in cleaning up that does not end": """
try:
    ready()
    time.sleep(300)
finally:
    time.sleep(300)
""",
    "in sqlite that waits for a lock": "ready()\njournal.Journal(Path('journal.sqlite')).put('a', 1)",
    "in code that raises an interrupt of its own": """
try:
    ready()
    time.sleep(300)
except BaseException:
    raise KeyboardInterrupt
""",
    "with something to be done at last": """
def at_last():
    Path('done').touch()
    raise ValueError
with end_with(at_last):
    try:
        ready()
        time.sleep(300)
    finally:
        time.sleep(300)
""",
    "in torch": "ready()\na = torch.rand(3000, 3000)\nfor _ in range(100_000): a = torch.linalg.svd(a)[0]",
    "in one call of torch": "ready()\ntorch.linalg.eig(torch.rand(4000, 4000))",
    "while a writer thread hangs": """
j = journal.Journal(Path('other.sqlite'))
j._writing[Path('x')] = j._writers.submit(time.sleep, 300)
ready()
j.put('a', 1)
""",
}
DOOR = """
import sys, time
from pathlib import Path
from mmedpo.store import journal
from mmedpo.runtime.signals import end_with, exit_code_of, handle_signals
{more}
def ready():
    print("ready", flush=True)
with handle_signals():
    try:
{body}
    except KeyboardInterrupt as interrupt:
        sys.exit(exit_code_of(interrupt))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("where", "number"),
    [(where, number) for where in BODIES for number in (signal.SIGTERM, signal.SIGINT)[: 1 if "torch" in where else 2]],
)
def test_a_signal_stops_wherever_it_strikes(where: str, number: signal.Signals, tmp_path: Path) -> None:
    body = "\n".join(f"        {line}" for line in BODIES[where].splitlines())
    script = DOOR.format(body=body, more="import torch" if "torch" in where else "")
    other = sqlite3.connect(tmp_path / "journal.sqlite")
    other.execute("CREATE TABLE done (key TEXT PRIMARY KEY, value BLOB)")
    other.execute("PRAGMA journal_mode=WAL")
    other.execute("BEGIN IMMEDIATE")
    started = subprocess.Popen([sys.executable, "-c", script], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    try:
        assert started.stdout is not None
        assert started.stdout.readline() == "ready\n"
        started.send_signal(number)
        assert started.wait(timeout=30) == 128 + number
        assert (tmp_path / "done").exists() == ("at last" in where)
    finally:
        started.kill()
        started.wait()
        other.close()
