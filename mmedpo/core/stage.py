"""The stages of a run, in order."""

from __future__ import annotations

from enum import StrEnum


class Stage(StrEnum):
    """A stage of a run, by the name that `--until` and the run folder use."""

    READ = "read"
    LOCALIZE = "localize"
    DISPREFER = "disprefer"
    SCORE = "score"
    WEIGH = "weigh"
    TRAIN = "train"
    EVALUATE = "evaluate"

    def reaches(self, stage: Stage) -> bool:
        """Tell whether a run up to this stage does another."""
        order = list(Stage)
        return order.index(stage) <= order.index(self)
