"""A DICOM film as an image of a case."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from mmedpo import ImageRef, digest, require_file
from mmedpo_plugins.dicom.window import Window

ENDINGS = (".dcm", ".dicom")  # in any case


def film_ref(path: Path, window: Window = "stored") -> ImageRef:
    """Name a film; its pixels are read when they are wanted."""
    from mmedpo_plugins.dicom.pixels import film_image

    require_file(path, str(path))
    stat = path.stat()
    source = digest("dicom: 2", str(path.absolute()), stat.st_size, stat.st_mtime_ns, window)
    return ImageRef.deferred(partial(film_image, path, window), source)
