"""On what runs were evaluated: said once where it is the same for all."""

from __future__ import annotations

import pytest
from rich.console import Console

from mmedpo.cli.display.overlap import print_overlaps
from mmedpo.store.run_files.measures import TrainingOverlap

CLEAN = TrainingOverlap(images=9, trained_on=0, questions_trained_on=0)
TRAINED = TrainingOverlap(images=9, trained_on=2, questions_trained_on=1)


@pytest.mark.parametrize(
    ("overlaps", "lines"),
    [
        ({"a": CLEAN}, ["a: evaluated on 9 images; none of them was trained on"]),
        ({"a": CLEAN, "b": CLEAN}, ["all 2 runs: evaluated on 9 images; none of them was trained on"]),
        (
            {"a": CLEAN, "b": TRAINED},
            [
                "a: evaluated on 9 images; none of them was trained on",
                "b: evaluated on 9 images; 2 of them were trained on, and 1 of the questions about them",
            ],
        ),
    ],
    ids=["one", "alike", "different"],
)
def test_what_is_the_same_for_all_runs_is_said_once(
    overlaps: dict[str, TrainingOverlap], lines: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    print_overlaps(Console(), overlaps)
    assert capsys.readouterr().out.splitlines() == lines
