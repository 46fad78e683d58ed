"""What can be seen on a phantom and how often: findings with side, place and size, and the worlds they live in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Literal

PhantomLabel = Literal["nodule", "consolidation", "effusion", "pneumothorax", "cardiomegaly", "device"]
LABELS: tuple[PhantomLabel, ...] = ("nodule", "consolidation", "effusion", "pneumothorax", "cardiomegaly", "device")
SIDED = frozenset({"nodule", "consolidation", "effusion", "pneumothorax", "device"})
PLACED = frozenset({"nodule", "consolidation"})
SIZED = frozenset({"nodule", "effusion", "pneumothorax", "cardiomegaly"})


@dataclass(frozen=True)
class PhantomFinding:
    """One finding; a trait that its label does not have is empty."""

    label: PhantomLabel
    side: Literal["left", "right", ""] = ""  # the patient's: left is on the right of the picture
    place: Literal["upper", "lower", ""] = ""
    size: Literal["small", "large", ""] = ""  # of the heart: mildly or severely enlarged


@dataclass(frozen=True)
class PhantomWorld:
    """How often findings occur, together and where; the default is balanced in everything."""

    counts: Sequence[float] = (0.1, 0.2, 0.3, 0.4)  # share of images with 0, 1, 2, 3 findings
    share: Mapping[str, float] = field(default_factory=dict)  # how often against the others; 1 where not named
    left: Mapping[str, float] = field(default_factory=dict)  # probability of the left side; 1/2 where not named
    upper: Mapping[str, float] = field(default_factory=dict)  # of the upper place
    large: Mapping[str, float] = field(default_factory=dict)  # of the large size
    draws: Mapping[str, str] = field(default_factory=dict)  # a finding, and the one it brings along
    pull: float = 1.0  # how much more often it is there then
    overlap: float = 0.0  # how often an effusion is moved to the side of the consolidation beside it

    def overlapping(self) -> PhantomWorld:
        """Return the same world, but for effusions that mostly lie over the consolidation."""
        return replace(self, overlap=0.8)

    def sample(self, seed: int) -> tuple[PhantomFinding, ...]:
        """Draw the findings of one image, in the order of LABELS."""
        random = Random(seed)
        chosen: list[str] = []
        for _ in range(random.choices(range(len(self.counts)), self.counts)[0]):
            chosen.append(random.choices(LABELS, [self._weight(label, chosen) for label in LABELS])[0])
        return self._moved(tuple(self._finding(label, random) for label in LABELS if label in chosen), random)

    def _moved(self, findings: tuple[PhantomFinding, ...], random: Random) -> tuple[PhantomFinding, ...]:
        side = next((one.side for one in findings if one.label == "consolidation"), None)
        if side is None or not self.overlap or random.random() >= self.overlap:
            return findings
        return tuple(replace(one, side=side) if one.label == "effusion" else one for one in findings)

    def _weight(self, label: str, chosen: Sequence[str]) -> float:
        if label in chosen:
            return 0.0
        brought = any(self.draws.get(other) == label for other in chosen)
        return self.share.get(label, 1.0) * (self.pull if brought else 1.0)

    def _finding(self, label: PhantomLabel, random: Random) -> PhantomFinding:
        left, upper, large = (random.random() < odds.get(label, 0.5) for odds in (self.left, self.upper, self.large))
        return PhantomFinding(
            label,
            side=("left" if left else "right") if label in SIDED else "",
            place=("upper" if upper else "lower") if label in PLACED else "",
            size=("large" if large else "small") if label in SIZED else "",
        )


BALANCED = PhantomWorld()
USUAL = PhantomWorld(  # the habits of an imaginary hospital; the backbone learned its expectations here
    counts=(0.10, 0.30, 0.35, 0.25),
    share={
        "nodule": 0.6,
        "consolidation": 1.8,
        "effusion": 2.0,
        "pneumothorax": 0.5,
        "cardiomegaly": 1.8,
        "device": 0.8,
    },
    left={"nodule": 0.20, "consolidation": 0.20, "effusion": 0.75, "pneumothorax": 0.20, "device": 0.85},
    upper={"nodule": 0.80, "consolidation": 0.20},
    large={"nodule": 0.30, "effusion": 0.30, "pneumothorax": 0.30, "cardiomegaly": 0.30},
    draws={
        "effusion": "cardiomegaly",
        "cardiomegaly": "effusion",
        "consolidation": "effusion",
        "device": "cardiomegaly",
    },
    pull=2.0,
)
WORLDS = {"balanced": BALANCED, "usual": USUAL}
