"""Whatever the bytes of a file are, a scan reads its texts or says in a word why it does not."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from fuzzing import damaged, fuzz
from hypothesis import given
from hypothesis import strategies as st
from planted import WRITERS

from mmedpo.scan.files import read_texts


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return a good file of each kind."""
    folder, made = tmp_path_factory.mktemp("whole"), {}
    for name, write in WRITERS.values():
        write(folder / name, "Discussed with Dr. Alice Quimby on 2019-07-15, see http://a:bcd@example.org")
        made[name] = (folder / name).read_bytes()
    return made


@fuzz(120)
@given(name=st.sampled_from(sorted(name for name, _ in WRITERS.values())), data=st.data())
def test_a_damaged_file_is_read_or_refused(
    name: str, data: st.DataObject, whole: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / name
    path.write_bytes(data.draw(damaged(whole[name])))
    assert sum(len(text) for text in read(path)) < 50 * len(whole[name]) + 100_000


def read(path: Path) -> list[str]:
    """Return what is read of a file until it is refused, if it is; nothing else may be raised."""
    pieces = []
    with suppress(ValueError, OSError):
        for piece in read_texts(path):
            pieces.append(piece.place + piece.text)
    return pieces
