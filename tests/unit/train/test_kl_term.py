"""The divergence from the starting policy, as a term of the loss."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from losses import make_losses, train_options
from pydantic import ValidationError
from tiny_llava import make_backbone, make_model, make_pairs
from training import LORA, apart, change, fit, make_started, open_trainer, stir

from mmedpo.errors import RecipeError
from mmedpo.models.vision.tensor_store import TensorStore
from mmedpo.models.vision.vision_cache import VisionCache
from mmedpo.recipe.train_options import LaunchOptions, ProjectorOptions
from mmedpo.train.batches.encoding import EncodedPair, PixelCache
from mmedpo.train.lora import save_adapter


@pytest.fixture(scope="module")
def sft(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sft")
    fit(folder, make_pairs(8), batch_size=4, learning_rate=0.05, loss=make_losses(nll=1.0))
    return folder / "adapter"


def divergence(base: Path, start: Path | None, adapter: Path, pair: EncodedPair, backbone: Any) -> float:
    """Compute KL(policy || start), a mean over the chosen answer's tokens, with stock transformers and stock PEFT."""
    from peft import PeftModel
    from transformers import LlavaForConditionalGeneration

    side, logps = pair.chosen, []
    for folder in (adapter, start):
        model = LlavaForConditionalGeneration.from_pretrained(base)
        model = (PeftModel.from_pretrained(model, folder) if folder else model).eval()
        with torch.no_grad():
            ids = torch.from_numpy(side.ids).long()[None]
            logits = model(input_ids=ids, **PixelCache(backbone).of(side)[0]).logits
        logps.append(logits[0, side.answer_start - 1 : -1].log_softmax(-1))
    return torch.nn.functional.kl_div(logps[1], logps[0], log_target=True, reduction="batchmean").item()


def find_kl(trainer: Any, batch: dict[str, Any]) -> torch.Tensor:
    side = trainer.side_logps(trainer.model, batch, trainer.collator.sides, run_reference=True)["chosen"]
    return side.kl_by_token.sum(1) / side.tokens


@pytest.mark.parametrize("goes_on", [False, True], ids=["from the base", "from an adapter"])
def test_kl_is_the_divergence_from_the_starting_policy_over_the_chosen_answers_tokens(
    tmp_path: Path, goes_on: bool, sft: Path
) -> None:
    make_model().save_pretrained(tmp_path / "base")
    pairs, backbone = make_pairs(6), make_started(sft) if goes_on else make_backbone()
    options = train_options(lora=LORA, loss=make_losses(kl=1.0), projector=ProjectorOptions())
    with open_trainer(tmp_path, backbone, pairs, options) as trainer:
        batch = trainer._prepare_inputs(trainer.collator([{"pair": index} for index in range(6)]))
        assert find_kl(trainer, batch).abs().max() < 1e-6
        stir(trainer.model)
        before = {name: weight.clone() for name, weight in trainer.model.named_parameters()}
        found = find_kl(trainer, batch)
        assert all(torch.equal(weight, before[name]) for name, weight in trainer.model.named_parameters())
        save_adapter(trainer.model, tmp_path / "stirred", trainer.base)
        encoded = trainer.collator.pairs
    start = sft if goes_on else None
    wanted = [divergence(tmp_path / "base", start, tmp_path / "stirred", pair, backbone) for pair in encoded]
    assert found.tolist() == pytest.approx(wanted, rel=1e-4)
    assert min(wanted) > 0.01


def test_kl_is_from_the_projector_that_training_began_with_where_image_features_are_kept(tmp_path: Path) -> None:
    options = train_options(lora=LORA, loss=make_losses(kl=1.0), projector=ProjectorOptions())
    with open_trainer(tmp_path, make_backbone(), make_pairs(6), options) as trainer:
        batch = trainer._prepare_inputs(trainer.collator([{"pair": index} for index in range(6)]))
        stir(trainer.model)
        from_pixels = find_kl(trainer, batch)
        store = TensorStore(tmp_path / "vision.bin", 2**20)
        trainer.vision = VisionCache(trainer.collator.backbone, store, ["model.multi_modal_projector"])
        kept = find_kl(trainer, batch)
    assert len(store)
    torch.testing.assert_close(kept, from_pixels, rtol=1e-4, atol=1e-6)


def test_kl_trains_alike_on_trees_and_on_plain_pairs_and_holds_back(tmp_path: Path) -> None:
    pairs = make_pairs(9)
    free_of_kl, with_kl = make_losses(nll=1.0), make_losses(nll=1.0, kl=5.0)
    ways = (("pairs", "pairs", with_kl), ("tree", "tree", with_kl), ("free", "pairs", free_of_kl))
    held, packed, free = (
        change(tmp_path / name, pairs, batch_size=9, epochs=3, packing=packing, loss=loss)
        for name, packing, loss in ways
    )
    assert apart(packed, held) < 1e-5
    assert apart(held, free) > 1e-3
    assert held.norm() < free.norm()


def test_kl_is_refused_where_no_process_holds_the_whole_adapter(tmp_path: Path) -> None:
    options = train_options(lora=LORA, loss=make_losses(kl=1.0))
    opened = open_trainer(tmp_path, make_backbone(), make_pairs(2), options)
    with opened as trainer, pytest.raises(RecipeError, match=r"train\.loss .* FSDP"):
        trainer._refuse_sharding()


def test_a_recipe_that_divides_the_model_and_asks_for_kl_is_refused_before_it_runs() -> None:
    with pytest.raises(ValidationError, match=r"launch\.strategy: fsdp does not go with the loss 'kl'"):
        train_options(loss=make_losses(kl=1.0), launch=LaunchOptions(strategy="fsdp"))
