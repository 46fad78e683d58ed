"""The calibration curve: what clinicians say on average of pairs that we find so and so relevant."""

from __future__ import annotations

from itertools import pairwise

from mmedpo.evaluate.clinicians.coefficients import LEAST, Column, pick_common

MOST = 5  # bins


class CalibrationBins:
    """Bins of our relevance with about equally many pairs each; a bin whose ends are equal is joined with the next."""

    def __init__(self, ours: Column, theirs: Column) -> None:
        """Take the relevances of all pairs that both have rated, 0 to 10."""
        import numpy as np

        self._ours, self._theirs = ours, theirs
        count = max(1, min(MOST, len(ours) // LEAST))
        edges = np.unique(np.quantile(ours, np.linspace(0, 1, count + 1))) if len(ours) else np.array([])
        self.ends = [(float(low), float(high)) for low, high in pairwise(edges)] or [
            (float(edge), float(edge)) for edge in edges
        ]

    def __len__(self) -> int:
        return len(self.ends)

    def _within(self, at: int, ours: Column) -> Column:
        low, high = self.ends[at]
        above = ours > low if at else ours >= low
        return above & (ours <= high)

    def mean_theirs(self, at: int, ours: Column, theirs: Column) -> float | None:
        """Return what clinicians say on average of the pairs of a bin."""
        ours, theirs = pick_common(ours, theirs)
        within = self._within(at, ours)
        return float(theirs[within].mean()) if within.any() else None

    def error(self, ours: Column, theirs: Column) -> float | None:
        """Return how far the means of the bins are apart, each as heavy as it has pairs."""
        ours, theirs = pick_common(ours, theirs)
        if len(ours) < LEAST:
            return None
        bins = [self._within(at, ours) for at in range(len(self))]
        gaps = [abs(ours[one].mean() - theirs[one].mean()) * one.sum() for one in bins if one.any()]
        return float(sum(gaps) / len(ours))

    def describe(self) -> list[dict[str, float]]:
        """Return where each bin begins and ends, how many pairs it has, and our mean."""
        rows = []
        for at, (low, high) in enumerate(self.ends):
            own = self._ours[self._within(at, self._ours)]
            rows.append({"from": low, "to": high, "pairs": len(own), "ours": float(own.mean())})
        return rows
