"""The run folder: locked while a run works in it, every file in it written whole or not at all."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from mmedpo.core.machine.disk import guard_writes
from mmedpo.errors import DataError


def write_whole(
    path: Path, write: Callable[[IO[bytes]], Any], wanted: Callable[[Path], bool] = lambda beside: True
) -> None:
    """Write a file beside its place and rename it, so that a reader sees the old one or the new one.

    `wanted` looks at the new one before, and tells whether it is to take the place. Raises DataError with the path when
    the disk takes no more; then nothing of it is left.
    """
    with guard_writes(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            with beside.open("wb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            if wanted(beside):
                beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)


def append_line(path: Path, line: str) -> None:
    """Add a line to a file, whole or not at all. Raises DataError with the path when the disk takes no more."""
    with guard_writes(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab", buffering=0) as file:
            size = file.tell()
            try:
                whole = line.encode() + b"\n"
                while whole:
                    whole = whole[file.write(whole) or 0 :]
            except BaseException:
                os.truncate(path, size)
                raise


def remove_leftovers(folder: Path) -> None:
    """Delete what a killed process had begun to write: `.NAME.PID` of one that is no more."""
    for path in folder.glob(".*.*"):
        number = path.name.rpartition(".")[2]
        if number.isdecimal() and path.is_file() and not _alive(int(number)):
            path.unlink(missing_ok=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def write_text(path: Path, text: str) -> None:
    """Write a text file whole."""
    write_whole(path, lambda file: file.write(text.encode()))


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write a text file whole, a line at a time as it is made."""
    write_whole(path, lambda file: file.writelines(f"{line}\n".encode() for line in lines))


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file for people and programs: indented, keys in the order given; NaN is no JSON."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_json_list(path: Path, values: Iterable[Any]) -> None:
    """Write a list as `write_json` does, a value at a time as it is made."""

    def write(file: IO[bytes]) -> None:
        before = "["
        for value in values:
            text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False).replace("\n", "\n  ")
            file.write(f"{before}\n  {text}".encode())
            before = ","
        file.write(b"[]\n" if before == "[" else b"\n]\n")

    write_whole(path, write)


_ENDS = {ord(char): f"\\u{ord(char):04x}" for char in "\u0085\u2028\u2029"}


def json_line(value: Any) -> str:
    """Write a JSON value as one line, whatever its reader takes for the end of one: U+2028 does for some."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False).translate(_ENDS)


def read_json(path: Path) -> Any:
    """Read a JSON file, or return None when there is none. Raises DataError when it is broken."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: is not JSON ({error}); delete it and run again") from error


@contextmanager
def write_folder_whole(out: Path) -> Iterator[Path]:
    """Yield a folder beside `out` to fill; `out` appears only once everything in it is complete.

    Raises DataError before anything is done when `out` holds something.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out}: is not empty; name a new folder")
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    with guard_writes(out):
        partial.mkdir(parents=True)
        try:
            yield partial
            partial.replace(out)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


HELD = "MMEDPO_HELD"  # the folder that whoever started this process holds and lent to it
_locks: dict[Path, int] = {}


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Hold the run folder. Raises DataError when another run holds it; the lock ends with its process."""
    if os.environ.get(HELD) == str(folder.resolve()):
        yield
        return
    with guard_writes(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("a+")
    with lock as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise DataError(f"{folder}: {holder} is running here; wait for it, or choose another output") from None
        with guard_writes(folder / ".lock"):
            file.truncate(0)
            file.write(f"process {os.getpid()} on {os.uname().nodename}")
            file.flush()
        remove_leftovers(folder)
        _locks[folder.resolve()] = file.fileno()
        try:
            yield
        finally:
            del _locks[folder.resolve()]


def is_held(folder: Path) -> bool:
    """Tell whether a run works in a folder just now; nothing is waited for, and nothing made.

    Ask where there is reason to think so: a run that begins in the moment of asking would be refused.
    """
    try:
        with (folder / ".lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def lent(folder: Path) -> tuple[int, dict[str, str]]:
    """Return what a process started from here needs to work in a folder held here: an open file, and its environment.

    The file keeps the folder locked for as long as that process lives, even if this one is killed.
    """
    return _locks[folder.resolve()], {HELD: str(folder.resolve())}
