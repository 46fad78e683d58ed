"""Tensors by key on disk, the latest of them in memory."""

from __future__ import annotations

import json
import mmap
import os
import shutil
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from safetensors.torch import load as from_bytes
from safetensors.torch import save as to_bytes
from torch import Tensor

from mmedpo.core.machine.disk import guard_writes
from mmedpo.core.notes import print_note
from mmedpo.store.run_folder import append_line, write_text

SPARE = 2**31  # bytes that a disk keeps free
TensorRecord = Mapping[str, Tensor]


class TensorStore:
    """Named tensors by key: appended to a file, read back through a memory map, the latest held in memory.

    On a disk that is nearly full, only those in memory are there. A file that a kill cut short is used up to its last
    whole entry. Files of other processes are read beside it, and never written.
    """

    def __init__(self, path: Path, memory: int) -> None:
        """Open or begin the file; hold at most `memory` bytes of tensors."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self.memory, self._bytes, self._noted = path, memory, 0, False
        self._held: OrderedDict[str, TensorRecord] = OrderedDict()
        self._index_path = path.with_suffix(".jsonl")
        path.touch()
        self._file = path.open("r+b")
        self._maps: dict[Path, mmap.mmap] = {}
        own = list(_read_index(path))
        self._places = {key: (path, *at) for key, at in own}
        write_text(self._index_path, "".join(json.dumps([key, *at]) + "\n" for key, at in own))

    def __contains__(self, key: str) -> bool:
        return key in self._places or key in self._held

    def __len__(self) -> int:
        return len(self._places)

    def __setitem__(self, key: str, record: TensorRecord) -> None:
        data = to_bytes({name: tensor.detach().cpu().contiguous() for name, tensor in record.items()})
        self._hold(key, from_bytes(data))
        if not self._has_room(len(data)):
            return
        with guard_writes(self._file.name):
            start = self._file.seek(0, os.SEEK_END)
            self._file.write(data)
            self._file.flush()
        self._places[key] = (self.path, start, len(data))
        append_line(self._index_path, json.dumps([key, start, len(data)]))

    def __getitem__(self, key: str) -> TensorRecord:
        if key not in self._held:
            path, start, length = self._places[key]
            self._hold(key, from_bytes(self._map_file(path, start + length)[start : start + length]))
        self._held.move_to_end(key)
        return self._held[key]

    def read_beside(self, paths: Iterable[Path]) -> None:
        """Know what the files of other processes hold by now."""
        for path in paths:
            self._places |= {key: (path, *at) for key, at in _read_index(path) if key not in self._places}

    def close(self) -> None:
        """Let go of files and memory."""
        for opened in self._maps.values():
            opened.close()
        self._file.close()
        self._held.clear()

    def _has_room(self, size: int) -> bool:
        """Tell whether the disk has room to spare; a cache must not be what fills it."""
        if shutil.disk_usage(self._index_path.parent).free - size > SPARE:
            return True
        if not self._noted:
            self._noted = True
            print_note(f"{self._index_path.parent}: the disk is nearly full, so what is computed of images is not kept")
        return False

    def _hold(self, key: str, record: TensorRecord) -> None:
        self._held[key] = record
        self._bytes += _count_bytes(record)
        while self._bytes > self.memory and len(self._held) > 1:
            self._bytes -= _count_bytes(self._held.popitem(last=False)[1])

    def _map_file(self, path: Path, until: int) -> mmap.mmap:
        """Map a file anew once it has grown."""
        if path not in self._maps or len(self._maps[path]) < until:
            if path in self._maps:
                self._maps[path].close()
            with path.open("rb") as file:
                self._maps[path] = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return self._maps[path]


def _count_bytes(record: TensorRecord) -> int:
    return sum(tensor.nbytes for tensor in record.values())


def _read_index(path: Path) -> Iterator[tuple[str, tuple[int, int]]]:
    """Yield the entries of a file's index up to one that is cut short or lies beyond the data."""
    index, size = path.with_suffix(".jsonl"), path.stat().st_size
    for line in index.read_bytes().split(b"\n")[:-1] if index.exists() else ():  # what follows the last \n is cut short
        try:
            key, start, length = json.loads(line)
        except ValueError:
            return
        if start + length > size:
            return
        yield key, (start, length)
