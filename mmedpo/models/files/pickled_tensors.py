"""Files that torch pickled: tensors are read out of them, and nothing that they hold is run."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

from mmedpo.errors import DataError, first_line
from mmedpo.models.files.damage import require_whole


def read_pickled(file: Path, cure: str = "") -> Any:
    """Return the plain values and tensors that a file of torch holds. Raises DataError, with the cure if one is said.

    torch's own message advises to run what such a file holds; ours does not.
    """
    import torch

    require_whole(file)
    try:
        return torch.load(file, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(file))
    except pickle.UnpicklingError as error:
        why = "holds more than tensors, which could run anything, or is damaged; it is not opened"
        raise DataError(f"{file}: {why}{cure and f'; {cure}'}") from error
    except Exception as error:  # whatever a broken file makes torch stumble over
        raise DataError(f"{file}: cannot be read ({first_line(error)}){cure and f'; {cure}'}") from error
