"""Reference log-probabilities in the journal: shared by runs that have pairs and model in common."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from losses import train_options
from tiny_llava import make_backbone, make_pairs

from mmedpo.recipe.train_options import LoraOptions
from mmedpo.registry.contracts.setting import Setting
from mmedpo.store.journal import Journal
from mmedpo.train.fit import train_adapter
from mmedpo.train.reference import ReferenceJournal, reference_keys
from mmedpo.train.trainer import PreferenceTrainer


def test_values_come_back_exactly_by_key(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.sqlite")
    ReferenceJournal(journal, {"a": "one", "b": "two"}).update([("a", (-1 / 3, -2.5e-7))])
    assert ReferenceJournal(journal, {"x": "one", "b": "two"}) == {"x": (-1 / 3, -2.5e-7)}


def test_the_key_is_what_the_model_is_shown_and_which_model() -> None:
    pairs = make_pairs(3)
    keys = reference_keys(pairs, "model", "float32")
    assert keys == reference_keys([replace(pair, weight=9.0) for pair in pairs], "model", "float32")
    assert len(set(keys.values())) == 3
    assert not set(keys.values()) & set(reference_keys(pairs, "other model", "float32").values())
    moved = replace(pairs[0].pair.chosen.image, path="/elsewhere.png")
    shown = replace(pairs[0].pair, chosen=replace(pairs[0].pair.chosen, image=moved))
    assert reference_keys([replace(pairs[0], pair=shown)], "model", "float32").items() <= keys.items()


def test_a_sibling_run_computes_no_reference_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    own = PreferenceTrainer.side_logps

    def counted(self: PreferenceTrainer, model: torch.nn.Module, batch: dict, *more: object) -> object:
        asked.append(len(batch["weights"]) if not torch.is_grad_enabled() else 0)
        return own(self, model, batch, *more)

    monkeypatch.setattr(PreferenceTrainer, "side_logps", counted)
    pairs, journal = make_pairs(6), Journal(tmp_path / "journal.sqlite")
    for name, rate in (("one", 1e-3), ("other", 1e-2)):
        options = train_options(lora=LoraOptions(r=2, alpha=4), epochs=1, validation=0, learning_rate=rate)
        table = ReferenceJournal(journal, reference_keys(pairs, "model"))
        train_adapter(
            pairs, make_backbone(), options, tmp_path / name, Setting(), lambda event: None, precomputed=table
        )
        assert sum(asked) == 6
