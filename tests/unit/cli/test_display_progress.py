"""Progress: a bar a stage on a terminal, lines elsewhere; only display/ knows rich."""

from __future__ import annotations

import io
import re
from collections.abc import Callable

import pytest
from conftest import ROOT
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress

from mmedpo.cli.command import print_json
from mmedpo.cli.display.agreement import show_scoring
from mmedpo.cli.display.columns import print_columns
from mmedpo.cli.display.progress import ProgressBars, show_events
from mmedpo.cli.display.terminal import Terminal
from mmedpo.events import Event, StageAdvanced, StageCount, StageFinished, StageStarted, TrainingLogged
from mmedpo.runtime.heartbeat import ProgressLines

READ = StageFinished("read", (StageCount("cases", 8),))


def drawn(*events: Event) -> tuple[Progress, str]:
    """Return the bars after some events, and what was printed above them."""
    out = io.StringIO()
    progress = Progress(console=Console(file=out, force_terminal=False, width=100))
    bars = ProgressBars(progress)
    for event in events:
        bars.see(event)
    return progress, out.getvalue()


def test_a_stage_goes_on_where_an_earlier_run_left_it() -> None:
    progress, _ = drawn(StageStarted("score", 10, 4), StageAdvanced("score", 2))
    (task,) = progress.tasks
    assert (task.completed, task.total) == (6, 10)


def test_training_says_its_loss_and_learns_its_length_from_the_first_step() -> None:
    progress, _ = drawn(StageStarted("train", 0), TrainingLogged(3, 9, {"loss": 0.5}))
    (task,) = progress.tasks
    assert (task.completed, task.total, task.fields["rate"]) == (3, 9, "loss 0.5000")


def test_a_stage_that_ends_fills_its_bar_and_says_what_came_out() -> None:
    progress, said = drawn(StageStarted("read", 0), READ)
    (task,) = progress.tasks
    assert task.finished
    assert said.strip() == "read 8 cases"


def test_a_stage_that_waits_for_a_batch_is_left_when_the_next_begins() -> None:
    progress, _ = drawn(StageStarted("score", 10), StageStarted("read", 2))
    assert [task.stop_time is None for task in progress.tasks] == [False, True]


def test_without_a_terminal_there_are_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with show_events() as see:
        see(READ)
    assert re.fullmatch(r"read: 8 cases \(0\.\d s\)\n", capsys.readouterr().err)


HOSTILE = "\x1b[2J\x9b31m[/bold][link=http://localhost]Ä\tb[/]"


@pytest.mark.parametrize(
    "show",
    [
        lambda: Terminal().print(HOSTILE),
        lambda: Terminal().print(f"[bold]{escape(HOSTILE)}[/]", markup=True),
        lambda: print_columns(Terminal(), [("a", "b"), (HOSTILE, HOSTILE)]),
        lambda: show_scoring({HOSTILE: {"furthest_apart": [{"pair": HOSTILE, "votes": {HOSTILE: 1}}]}}),
        lambda: ProgressLines().see(StageFinished(HOSTILE, (StageCount("left_out", 1, reason=HOSTILE),))),
        lambda: print_json({HOSTILE: HOSTILE}),
    ],
)
def test_what_others_wrote_is_shown_as_it_stands_and_commands_no_terminal(
    show: Callable[[], None], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    show()
    shown = "".join(capsys.readouterr())
    assert "[/bold][link=http://localhost]Ä" in shown
    assert not any(char in shown for char in "\x1b\x9b\t")


def test_rich_has_one_home() -> None:
    package = ROOT / "mmedpo"
    users = {path for path in package.rglob("*.py") if re.search(r"^\s*(from|import) rich\b", path.read_text(), re.M)}
    assert {path.parent for path in users} == {package / "cli" / "display"}
