"""The tensor store: bounded in memory, whole on disk, and what a kill cut short costs one entry."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from mmedpo.models.vision.tensor_store import TensorStore


def test_memory_is_bounded_and_the_file_has_the_rest(tmp_path: Path) -> None:
    store = TensorStore(tmp_path / "f.bin", 3 * 400)
    made = {str(number): torch.full((100,), float(number)) for number in range(20)}
    for key, value in made.items():
        store[key] = {"x": value}
    assert store._bytes <= 3 * 400
    for key in [*made, *reversed(made)]:
        assert torch.equal(store[key]["x"], made[key])
        assert store._bytes <= 3 * 400
        assert store._bytes == sum(record["x"].nbytes for record in store._held.values())


def test_any_dtype_comes_back_bit_for_bit(tmp_path: Path) -> None:
    store = TensorStore(tmp_path / "f.bin", 0)
    record = {"a": torch.randn(3, 4).bfloat16(), "b": torch.arange(4), "c": torch.randn(2, dtype=torch.float64)}
    store["one"], store["two"] = record, {"d": torch.zeros(1)}
    assert all(torch.equal(store["one"][name], value) for name, value in record.items())


@pytest.mark.parametrize("cut", [1, 40, 150])
def test_a_file_cut_short_is_used_up_to_its_last_whole_entry(tmp_path: Path, cut: int) -> None:
    store = TensorStore(tmp_path / "f.bin", 0)
    for number in range(3):
        store[str(number)] = {"x": torch.full((8,), float(number))}
    store.close()
    data = (tmp_path / "f.bin").read_bytes()
    (tmp_path / "f.bin").write_bytes(data[:-cut])
    again = TensorStore(tmp_path / "f.bin", 0)
    assert "2" not in again
    again["3"] = {"x": torch.full((8,), 3.0)}
    for key in [key for key in ("0", "1", "3") if key in again]:
        assert torch.equal(again[key]["x"], torch.full((8,), float(key)))
    assert len(TensorStore(tmp_path / "f.bin", 0)) == len(again)


def test_files_of_others_are_read_as_they_grow_and_never_written(tmp_path: Path) -> None:
    mine, other = (TensorStore(tmp_path / f"{name}.bin", 0) for name in ("mine", "other"))
    for number in range(3):
        other[str(number)] = {"x": torch.full((8,), float(number))}
        mine.read_beside([other.path])
        assert torch.equal(mine[str(number)]["x"], torch.full((8,), float(number)))
    mine["3"] = {"x": torch.ones(8)}
    assert "3" not in TensorStore(other.path, 0)
    assert "0" not in TensorStore(mine.path, 0)


def test_an_index_cut_short_forgets_its_last_entry(tmp_path: Path) -> None:
    store = TensorStore(tmp_path / "f.bin", 0)
    for number in range(2):
        store[str(number)] = {"x": torch.full((8,), float(number))}
    index = tmp_path / "f.jsonl"
    index.write_text(index.read_text()[:-3])
    again = TensorStore(tmp_path / "f.bin", 0)
    assert "0" in again
    assert "1" not in again
    again["1"] = {"x": torch.ones(8)}
    assert torch.equal(TensorStore(tmp_path / "f.bin", 0)["1"]["x"], torch.ones(8))


def test_a_disk_that_is_nearly_full_keeps_only_what_is_in_memory_and_a_line_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=2**30))
    store = TensorStore(tmp_path / "f.bin", 3 * 400)
    for number in range(5):
        store[str(number)] = {"x": torch.full((100,), float(number))}
    assert [str(number) in store for number in range(5)] == [False, False, True, True, True]
    assert torch.equal(store["3"]["x"], torch.full((100,), 3.0))
    assert (tmp_path / "f.bin").stat().st_size == 0
    assert capsys.readouterr().err == (
        f"mmedpo: {tmp_path}: the disk is nearly full, so what is computed of images is not kept\n"
    )
