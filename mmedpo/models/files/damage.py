"""Say which file of a model's folder is not what it should be: a git-lfs pointer, empty, cut off."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmedpo.core.lfs import POINTER, is_pointer
from mmedpo.errors import DataError

WEIGHTS = (".safetensors", ".bin")
PICKLED = (".bin", ".pt", ".pth")
MODEL = ("model", "pytorch_model")  # what the files of weights are called
TEXTS = (".json", ".jinja", ".model")
AGAIN = "copy or download it again"


def find_damage(folder: str | Path) -> str:
    """Return what is wrong with a file of a checkpoint, and the cure; "" when nothing can be seen from outside.

    Weights come first: they are what is most often not downloaded, or only half.
    """
    return next(_list_damages(Path(folder), (*WEIGHTS, *TEXTS)), "")


def require_whole(file: Path) -> None:
    """Raise DataError for a file that is damaged, as far as that can be seen from outside."""
    if file.exists() and (why := _inspect_file(file)):
        raise DataError(_make_message(file, why))


def require_no_pointers(folder: str | Path) -> None:
    """Raise DataError for a pointer in place of a text: it may pass for one, as the chat template for example."""
    damages = _list_damages(Path(folder), TEXTS)
    if message := next((message for message in damages if POINTER in message), ""):
        raise DataError(message)


def require_own_shards(folder: str | Path) -> None:
    """Raise DataError for an index of weights that names a file elsewhere than beside it."""
    for index in sorted(Path(folder).glob("*.index.json")) if Path(folder).is_dir() else ():
        try:
            named = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
            continue  # a broken one is told of in loading
        if elsewhere := sorted(str(name) for name in named if Path(str(name)).name != name):
            raise DataError(f"{index}: names {elsewhere[0][:80]!r}, which is no file beside it; {AGAIN}")


def require_finite(name: str, tensors: Iterator[tuple[str, Any]]) -> None:
    """Raise DataError for a tensor with a value that is no finite number; one pass over each, nothing is copied."""
    import torch

    for key, tensor in tensors:
        if not tensor.is_floating_point() or tensor.is_meta or not tensor.numel() or tensor.element_size() < 2:
            continue
        low, high = torch.aminmax(tensor.detach())
        if not (torch.isfinite(low) and torch.isfinite(high)):
            count = int((~torch.isfinite(tensor)).sum())
            raise DataError(
                f"{name}: {count:,} of the {tensor.numel():,} numbers of {key} are NaN or infinite, so it can answer "
                f"nothing; {AGAIN}, or take one from before its training went wrong"
            )


def _list_damages(folder: Path, endings: tuple[str, ...]) -> Iterator[str]:
    if folder.is_dir():
        for ending in endings:
            for file in sorted(folder.glob(f"*{ending}")):
                counts = ending in TEXTS or file.name.startswith(MODEL)  # training_args.bin for one does not
                if counts and (why := _inspect_file(file)):
                    yield _make_message(file, why)


def _make_message(file: Path, why: str) -> str:
    return f"{file}: cannot be loaded, it {why}"


def _inspect_file(file: Path) -> str:
    if file.is_symlink() and not file.exists():
        return f"is a link to a file that is not there; {AGAIN}"
    if not file.is_file():
        return ""
    with file.open("rb") as opened:
        head = opened.read(200)
        if not head:
            return f"is empty; {AGAIN}"
        if is_pointer(head):
            return f"is {POINTER}"
        opened.seek(0)
        return _inspect_safetensors(file, opened) if file.suffix == ".safetensors" else _inspect_zip(file, head)


def _inspect_safetensors(file: Path, opened: Any) -> str:
    size = file.stat().st_size
    try:
        (length,) = struct.unpack("<Q", opened.read(8))
        if 8 + length > size:
            return f"is cut off within its header, or no safetensors file ({size:,} bytes); {AGAIN}"
        header = json.loads(opened.read(length))
        ends = [value["data_offsets"][1] for key, value in header.items() if key != "__metadata__"]
    except (struct.error, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return f"is no safetensors file, or a broken one; {AGAIN}"
    whole = 8 + length + max(ends, default=0)
    return "" if size >= whole else f"is cut off: has {size:,} of {whole:,} bytes; {AGAIN}"


def _inspect_zip(file: Path, head: bytes) -> str:
    """Tell of a file of torch, which is a ZIP archive, whether its end is there; the older form does not say."""
    import zipfile

    if file.suffix in PICKLED and head.startswith(b"PK\x03\x04") and not zipfile.is_zipfile(file):
        return f"is cut off ({file.stat().st_size:,} bytes); {AGAIN}"
    return ""
