"""Runs that are measured, of no model: which of their closed questions are answered right is given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from run_folder import measures, run_record

from mmedpo.store.run_files.format import write_file, write_rows
from mmedpo.store.run_files.measures import AnsweredCase, ImageFile, TrainingOverlap

CASES = 60


def statistics(right: list[bool]) -> list[dict[str, float]]:
    return [{"closed": 1.0, "closed_accuracy": float(one)} for one in right]


def make_run(
    folder: Path, right: list[bool], before: list[bool], *, truth: str = "yes", backbone: dict[str, Any] | None = None
) -> Path:
    folder.mkdir(parents=True)
    both = zip(statistics(before), statistics(right), strict=True)
    rows = [
        AnsweredCase(
            id=f"{n}",
            group=f"{n // 3}",
            kind="closed",
            question="?",
            truth=truth,
            before="",
            after="",
            cut=(False, False),
            image=ImageFile(path="", sha256=f"{n // 3}"),
            regions=(),
            restricted=False,
            statistics={"med-vqa": (old, new)},
            gain={},
        )
        for n, (old, new) in enumerate(both)
    ]
    write_rows(folder, AnsweredCase, rows)
    write_file(folder, measures().model_copy(update={"overlap": TrainingOverlap(images=20, trained_on=0)}))
    recipe = {
        "output": str(folder),
        "data": [{"use": "phantom"}],
        "backbone": {"use": "phantom", **(backbone or {})},
        "evaluate": {"data": {"use": "phantom"}, "measure": [{"use": "med-vqa"}]},
        "disprefer": [{"use": "self-hallucination"}],
        "score": [{"use": "med-llm-vote"}],
        "weigh": {"use": "uniform"},
    }
    write_file(folder, run_record(recipe))
    return folder


def some_right(share: float, seed: int) -> list[bool]:
    return (np.random.default_rng(seed).random(CASES) < share).tolist()
