"""Reference log-probabilities in the journal: shared by runs that have pairs and model in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from losses import make_loss, train_options
from PIL import Image
from tiny_llava import make_backbone, make_pairs

from mmedpo import ImageRef, Loss, LossBatch, Pair, Side, WeightedPair
from mmedpo.recipe.train_options import LoraOptions
from mmedpo.registry.contracts.setting import Setting
from mmedpo.store.journal import Journal
from mmedpo.train.batches.further_sides import describe_sides, name_further_sides
from mmedpo.train.fit import train_adapter
from mmedpo.train.reference import ReferenceJournal, list_reference_facts, reference_keys
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


class Further(Loss):
    """Name sides for some pairs alone."""

    use: ClassVar[str] = "further"
    names: tuple[str, ...] = ()

    def further_sides(self, pairs: Sequence[Pair], seed: int) -> Sequence[Mapping[str, Side]]:
        sides = {"b": "No", "a": "Yes, there is"}
        return [{name: replace(pair.chosen, answer=sides[name]) for name in self.names} for pair in pairs]

    def compute(self, batch: LossBatch) -> torch.Tensor:
        return batch.margin


def fill(pairs: list[WeightedPair], folder: Path, journal: Journal, *losses: Loss) -> dict[str, tuple[float, ...]]:
    """Train with losses and return the reference of each pair."""
    options = train_options(loss=list(losses), lora=LoraOptions(r=2, alpha=4), epochs=1, validation=0, batch_size=1)
    sides = name_further_sides(pairs, options, 0)
    facts = list_reference_facts(options, Setting())
    counts = {one.pair.id: 2 + len(some) for one, some in zip(pairs, sides, strict=True)}
    keys = reference_keys(pairs, *facts, further=[describe_sides(some) for some in sides])
    table = ReferenceJournal(journal, keys, counts)
    more = {"precomputed": table, "further": sides}
    train_adapter(pairs, make_backbone(), options, folder, Setting(), lambda event: None, **more)
    return dict(table)


@pytest.mark.parametrize(
    "losses",
    [
        [make_loss("sigmoid"), Further(pairs="image", names=("a",))],
        [Further(pairs="text", names=("b", "a")), Further(pairs="image", names=("a",))],
    ],
    ids=["of some pairs", "of each kind"],
)
def test_what_is_kept_of_a_pair_does_not_depend_on_the_sides_of_others(tmp_path: Path, losses: list[Loss]) -> None:
    pairs, journal = make_pairs(4), Journal(tmp_path / "journal.sqlite")
    before = fill(pairs, tmp_path / "before", journal, make_loss("sigmoid"))
    found = fill(pairs, tmp_path / "after", journal, *losses)
    again = fill(pairs, tmp_path / "again", Journal(tmp_path / "other.sqlite"), *losses)
    assert found == again
    for one in pairs:
        of = [loss for loss in losses if loss.is_of(one.pair.kind, one.pair.case.kind)]
        assert len(found[one.pair.id]) == 2 + sum(len(loss.names) for loss in of if isinstance(loss, Further))
        assert found[one.pair.id][:2] == pytest.approx(before[one.pair.id], abs=1e-4)


def test_losses_that_compare_nothing_leave_no_reference_to_those_that_do(tmp_path: Path) -> None:
    pairs, journal = make_pairs(3), Journal(tmp_path / "journal.sqlite")
    fill(pairs, tmp_path / "anchor", journal, make_loss("anchor"))  # reads no rejected side
    found = fill(pairs, tmp_path / "sigmoid", journal, make_loss("sigmoid"))
    assert found == fill(pairs, tmp_path / "alone", Journal(tmp_path / "other.sqlite"), make_loss("sigmoid"))


def test_a_promised_image_is_known_by_the_code_that_draws_it() -> None:
    def describe(image: ImageRef, maker: str) -> object:
        return describe_sides({"1.noised": Side(image, "Yes")}, makers=["other", maker])

    promised, drawn = (
        ImageRef.deferred(lambda: Image.new("L", (2, 2)), "noise of seed 0"),
        ImageRef.drawn(Image.new("L", (2, 2))),
    )
    assert describe(promised, "one") != describe(promised, "another")
    assert describe(drawn, "one") == describe(drawn, "another")
