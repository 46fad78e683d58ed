"""The window that a DICOM film stores: which values are black and white (PS3.3 C.11.2.1.2 and C.11.2.1.3)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    from pydicom import Dataset

    Values = np.ndarray[Any, Any]

Window = Literal["stored", "full"] | tuple[float, float]  # as a recipe says it; [centre, width]
LINEAR, EXACT, SIGMOID = "LINEAR", "LINEAR_EXACT", "SIGMOID"


@dataclass(frozen=True)
class StoredWindow:
    """A centre, a width and how they are meant."""

    centre: float
    width: float
    function: str

    @property
    def ends(self) -> tuple[float, float]:
        """What is black and white of the values that `apply_curve` gives."""
        if self.function == SIGMOID:
            return 0.0, 1.0
        less, centre = (1, self.centre - 0.5) if self.function == LINEAR else (0, self.centre)
        return centre - (self.width - less) / 2, centre + (self.width - less) / 2

    def apply_curve(self, values: Values) -> Values:
        """Return the values along the window's curve."""
        import numpy as np

        if self.function != SIGMOID:
            return values
        return 1 / (1 + np.exp(np.clip(-4 * (values - self.centre) / self.width, -700, 700)))


def stored_window(film: Dataset) -> StoredWindow | None:
    """Return the first window that can be one; None when there is none. Raises ValueError for an unknown curve."""
    function = str(film.get("VOILUTFunction") or LINEAR).upper()
    if function not in (LINEAR, EXACT, SIGMOID):
        raise ValueError(f"its VOI LUT function {function!r} is unknown")
    least = 1 if function == LINEAR else 0
    centres, widths = (list(_read_numbers(film.get(key))) for key in ("WindowCenter", "WindowWidth"))
    for centre, width in zip(centres, widths, strict=False):
        if isfinite(centre) and isfinite(width) and width >= least and width > 0:
            return StoredWindow(centre, width, function)
    return None


def _read_numbers(value: Any) -> Iterator[float]:
    """Yield one number or several; nan in place of what is none, so that the others keep their places."""
    several = value if hasattr(value, "__iter__") and not isinstance(value, str) else [value]
    for one in several:
        try:
            yield float(one)
        except (TypeError, ValueError):
            yield float("nan")
