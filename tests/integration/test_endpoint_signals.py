"""One signal stops a run wherever it strikes, and what was answered is kept."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Mmedpo, environment
from forks import Fork, Forks
from paid_recipe import answer, write

from mmedpo.testing import FakeReply, fake_endpoint

pytestmark = pytest.mark.slow  # whole runs

SPINNING = """
import sys
from mmedpo.endpoints import prompts
from mmedpo.cli.main import main
own, count = prompts.PromptTemplates.render, 0
def render(self, name, **values):
    global count
    count += name == "user"
    if count > {after}:
        open("spinning", "w").close()
        while True:
            sum(range(100))
    return own(self, name, **values)
prompts.PromptTemplates.render = render
sys.argv = ["mmedpo", "run", "recipe.yaml", "--until", "weigh"]
main()
"""


def stopped(process: Fork, number: int, reached: Callable[[], Any]) -> str:
    """Send a signal to a process when a moment has come; return what it said before it ended."""
    while not reached():
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(number)
    _, said = process.communicate()
    assert process.returncode == 128 + number, said
    assert "Traceback" not in said
    assert "never retrieved" not in said
    return said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_in_a_prompt_that_does_not_end_stops_the_run_and_keeps_the_answers(
    number: int, mmedpo: Mmedpo, forks: Forks, tmp_path: Path
) -> None:
    def act(request: dict[str, Any], before: int) -> FakeReply:
        return FakeReply(text=answer(request))

    with fake_endpoint(act) as server:
        write(tmp_path, server, concurrency=1)
        process = forks.start(["-c", SPINNING.format(after=6)], tmp_path, environment())
        assert "stopped; what is finished is kept" in stopped(process, number, (tmp_path / "spinning").exists)
        answered = len(server.seen)
        assert answered > 0
        again = mmedpo("run", "recipe.yaml", "--until", "weigh")
        assert again.returncode == 0, again.stderr
        assert server.answered_twice() == [], "what was answered is kept"
        assert len(server.seen) > answered


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_an_endpoint_is_silent_stops_the_run(number: int, forks: Forks, tmp_path: Path) -> None:
    with fake_endpoint(lambda request, before: FakeReply(delay=3600, late=True)) as server:
        recipe = write(tmp_path, server)
        process = forks.start(["-m", "mmedpo", "run", str(recipe), "--until", "weigh"], tmp_path, environment())
        stopped(process, number, lambda: server.seen)
    lost = [json.loads(line) for line in (tmp_path / "run" / "calls.jsonl").read_text().splitlines()]
    assert lost
    assert all(entry.get("lost") for entry in lost), "what was on its way may have been charged"
