"""The quickstart with lesion noise of one strength, which asks the model nothing: what these figures are of."""

from __future__ import annotations

from pathlib import Path

RECIPE = Path(__file__).parents[3] / "examples" / "quickstart.yaml"
FIXED_NOISE = (
    "disprefer.1={use: lesion-noise, step: 500}",
    "train.loss=[{use: sigmoid}, {use: nll}]",
    "train.pairs.image=0.5",
)
