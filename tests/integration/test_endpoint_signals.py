"""One signal stops a run wherever it strikes, and what was answered is kept."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from chat_server import Act, serving
from conftest import environment
from test_spending import answer, write


def spinning(recipe: Path, after: int, number: int, code: int) -> tuple[str, float]:
    """Run a recipe whose prompt goes on for ever after so many; send a signal there; return stderr and the seconds."""
    script = f"""
import sys
from mmedpo.endpoints import prompts
from mmedpo.cli.main import main
own, count = prompts.Prompts.render, 0
def render(self, name, **values):
    global count
    count += name == "user"
    if count > {after}:
        print("spinning", flush=True)
        while True:
            sum(range(100))
    return own(self, name, **values)
prompts.Prompts.render = render
sys.argv = ["mmedpo", "run", {str(recipe)!r}, "--until", "weigh"]
main()
"""
    line = [sys.executable, "-c", script]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(line, cwd=recipe.parent, env=environment(), **pipes) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "spinning\n"
        began = time.monotonic()
        process.send_signal(number)
        try:
            _, said = process.communicate(timeout=20)
        finally:
            process.kill()
        assert process.returncode == code, said
        return said, time.monotonic() - began


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_in_a_prompt_that_does_not_end_stops_the_run_and_keeps_the_answers(
    number: int, code: int, tmp_path: Path
) -> None:
    def act(request: dict[str, Any], before: int) -> Act:
        return Act(text=answer(request))

    with serving(act) as server:
        recipe = write(tmp_path, server, concurrency=1)
        said, seconds = spinning(recipe, 6, number, code)
        assert seconds < 15  # five, on a machine that is not busy
        assert "stopped; what is finished is kept" in said
        assert "Traceback" not in said
        assert "never retrieved" not in said
        answered = len(server.seen)
        assert answered > 0
        command = [sys.executable, "-m", "mmedpo", "run", str(recipe), "--until", "weigh"]
        subprocess.run(command, cwd=tmp_path, env=environment(), check=True, capture_output=True)
        assert server.answered_twice() == [], "what was answered is kept"
        assert len(server.seen) > answered


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_an_endpoint_is_silent_stops_the_run(number: int, tmp_path: Path) -> None:
    with serving(lambda request, before: Act(delay=60, late=True)) as server:
        recipe = write(tmp_path, server)
        line = [sys.executable, "-m", "mmedpo", "run", str(recipe), "--until", "weigh"]
        with subprocess.Popen(line, cwd=tmp_path, env=environment(), stderr=subprocess.PIPE, text=True) as process:
            while not server.seen:
                time.sleep(0.05)
            began = time.monotonic()
            process.send_signal(number)
            try:
                _, said = process.communicate(timeout=20)
            finally:
                process.kill()
        assert process.returncode == 128 + number
        assert time.monotonic() - began < 15
        assert "Traceback" not in said
    lost = [json.loads(line) for line in (tmp_path / "run" / "calls.jsonl").read_text().splitlines()]
    assert lost
    assert all(entry.get("lost") for entry in lost), "what was on its way may have been charged"
