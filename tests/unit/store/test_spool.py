"""Items that lie on the disk come back equal, singly and together, and leave nothing there."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmedpo import Case, ImageRef
from mmedpo.store.spool import TOGETHER, Spool


def test_items_come_back_in_any_order(tmp_path: Path) -> None:
    cases = [Case(str(at), ImageRef("a.png", "film"), "Is it?", "Yes", notes={"at": at}) for at in range(TOGETHER + 3)]
    spool: Spool[Case] = Spool(tmp_path)
    assert (len(spool), list(spool)) == (0, [])
    assert [spool.append(case) for case in cases[:2]] == [0, 1]
    assert spool[1] == cases[1]
    for case in cases[2:]:
        spool.append(case)
    assert list(spool) == cases
    assert (spool[-1], spool[3:5], spool[5:3], spool[::9]) == (cases[-1], cases[3:5], [], cases[::9])
    with pytest.raises(IndexError):
        spool[len(cases)]


def test_nothing_is_seen_of_a_spool_in_its_folder(tmp_path: Path) -> None:
    spool: Spool[str] = Spool(tmp_path)
    spool.append("a" * 10**6)
    assert spool[0][:1] == "a"
    assert list(tmp_path.iterdir()) == []
