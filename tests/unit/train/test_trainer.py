"""The trainer: equal to stock TRL where TRL can follow, and exact where it cannot."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import ROOT
from losses import make_loss, make_losses, train_options
from pydantic import ValidationError
from safetensors.torch import load_file
from tiny_llava import adapter_bytes, make_backbone, make_image, make_model, make_pairs, make_tokenizer

from mmedpo.core.images import ImageRef
from mmedpo.core.records import WeightedPair
from mmedpo.errors import DataError, RecipeError
from mmedpo.events import StageFinished, TrainingLogged
from mmedpo.models.adapters import load_adapter
from mmedpo.models.vision.tensor_store import TensorStore
from mmedpo.models.vision.vision_cache import VisionCache
from mmedpo.recipe.train_options import (
    LaunchOptions,
    LoraOptions,
    PairCoefficients,
    ProjectorOptions,
    TrainOptions,
    explain_refusal,
)
from mmedpo.registry.contracts.setting import Setting
from mmedpo.store.run_files.counts import sum_counts
from mmedpo.store.run_files.measures import TrainingRecord
from mmedpo.train.batches.encoding import EncodedPair, PixelCache, encode_pair
from mmedpo.train.batches.held_out import hold_out
from mmedpo.train.batches.pair_collator import PairCollator
from mmedpo.train.batches.selection import encode_pairs
from mmedpo.train.fit import train_adapter
from mmedpo.train.lora import attach_adapter, save_adapter
from mmedpo.train.trainer import PreferenceTrainer
from mmedpo.train.trl_arguments import trl_arguments

LORA = LoraOptions(r=4, alpha=8)
PLAIN_SGD = {"max_grad_norm": 0.0}  # so that a step's change is the gradient of its loss


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def fit(folder: Path, pairs: list[WeightedPair], backbone: Any = None, /, **options: Any) -> TrainingRecord:
    chosen = train_options(**{"lora": LORA, "validation": 0.0, "learning_rate": 0.01, "epochs": 1, **options})
    return train_adapter(pairs, backbone or make_backbone(), chosen, folder, Setting(seed=5), lambda event: None)


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "adapter" / "adapter_model.safetensors")


def change(folder: Path, pairs: list[WeightedPair], /, **options: Any) -> torch.Tensor:
    """Return what training added to the adapter's B matrices, which start at zero."""
    fit(folder, pairs, warmup_ratio=0, scheduler="constant", optimizer="sgd", trl=PLAIN_SGD, **options)
    return torch.cat([value.flatten() for name, value in weights_of(folder).items() if "lora_B" in name])


def apart(one: torch.Tensor, other: torch.Tensor) -> float:
    return ((one - other).norm() / other.norm()).item()


@contextmanager
def open_trainer(folder: Path, backbone: Any, pairs: list[WeightedPair], options: TrainOptions) -> Iterator[Any]:
    table: dict[str, tuple[float, float]] = {}
    with attach_adapter(backbone, options, 5) as model:
        pixels = PixelCache(backbone)
        encoded = [encode_pair(weighted, backbone, pixels) for weighted in pairs]
        collator = PairCollator(backbone, encoded, pixels, table)
        args = trl_arguments(options, folder, Setting())
        trainer = PreferenceTrainer(model, args, collator, range(len(pairs)), [], backbone.tokenizer, options, 5)
        trainer.fill_reference(encoded, table, lambda count: None)
        yield trainer


def stir(model: Any) -> None:
    """Give every trainable weight a value, the same in every model of one shape."""
    generator = torch.Generator().manual_seed(11)
    for _, parameter in sorted((name, p) for name, p in model.named_parameters() if p.requires_grad):
        parameter.data = 0.2 * torch.randn(parameter.shape, generator=generator)


def gradients(trainer: Any, batch: dict[str, Any]) -> tuple[float, dict[str, torch.Tensor]]:
    trainer.model.zero_grad()
    trainer.model.train()
    loss = trainer.compute_loss(trainer.model, trainer._prepare_inputs(batch))
    loss.backward()
    grads = {name: p.grad for name, p in trainer.model.named_parameters() if p.requires_grad and ".ref." not in name}
    return loss.item(), grads


# --- the oracle: stock TRL ---------------------------------------------------------------------------------------


def make_processor() -> Any:
    from transformers import LlavaProcessor
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    square = {"height": 28, "width": 28}
    images = CLIPImageProcessorPil(size=square, crop_size=square)
    return LlavaProcessor(
        image_processor=images, tokenizer=make_tokenizer(), patch_size=14, vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
    )  # fmt: skip


def make_stock_trainer(
    folder: Path, pairs: list[WeightedPair], options: TrainOptions, **config: Any
) -> tuple[Any, Any]:
    """Build TRL's own trainer on the same pairs; its data are raw texts and images."""
    from datasets import Dataset
    from peft import LoraConfig
    from trl import DPOConfig, DPOTrainer

    rows = [
        {
            "images": [weighted.pair.case.image.load()],
            "prompt": f"<image> {weighted.pair.case.question}",
            "chosen": f" {weighted.pair.chosen.answer} </s>",
            "rejected": f" {weighted.pair.rejected.answer} </s>",
        }
        for weighted in pairs
    ]
    backbone = make_backbone()
    args = DPOConfig(
        output_dir=str(folder), use_cpu=True, bf16=False, report_to="none", gradient_checkpointing=False,
        beta=options.beta, **config,
    )  # fmt: skip
    trainer = DPOTrainer(
        model=make_model(),
        args=args,
        train_dataset=Dataset.from_list([{**row, "images": []} for row in rows]),
        processing_class=make_processor(),
        peft_config=LoraConfig(
            r=LORA.r, lora_alpha=LORA.alpha, target_modules=backbone.lora_targets, task_type="CAUSAL_LM"
        ),
    )
    return trainer, trainer.data_collator(rows)


def like_processor(backbone: Any) -> Any:
    """Let a backbone see images as the processor does, and stand the image where the processor's prompt has it."""
    images = make_processor().image_processor
    backbone._preprocess = lambda image: torch.tensor(images(images=[image])["pixel_values"][0])[None]
    return backbone


@pytest.mark.parametrize(
    ("loss", "config"),
    [
        ({"use": "sigmoid"}, {"loss_type": ["sigmoid"]}),
        ({"use": "hinge"}, {"loss_type": ["hinge"]}),
        ({"use": "ipo"}, {"loss_type": ["ipo"]}),
        ({"use": "robust", "label_smoothing": 0.1}, {"loss_type": ["robust"], "label_smoothing": 0.1}),
    ],
    ids=["sigmoid", "hinge", "ipo", "robust"],
)
def test_loss_and_gradients_are_stock_trls_on_one_image_pairs_of_weight_one(
    tmp_path: Path, loss: dict[str, Any], config: dict[str, Any]
) -> None:
    pairs = make_pairs(6, same_image=True, weights=(1.0,))
    options = train_options(lora=LORA, batch_size=6, loss=[make_loss(**loss)])
    stock, batch = make_stock_trainer(tmp_path / "stock", pairs, options, **config)
    stir(stock.model)
    stock_loss, stock_grads = gradients(stock, batch)
    with open_trainer(tmp_path, like_processor(make_backbone()), pairs, options) as trainer:
        stir(trainer.model)
        batch = trainer.collator([{"pair": index} for index in range(6)])
        our_loss, our_grads = gradients(trainer, batch)
    assert our_loss == pytest.approx(stock_loss, rel=1e-5)
    assert set(our_grads) == set(stock_grads)
    assert max(apart(our_grads[name], stock_grads[name]) for name in stock_grads) < 1e-5


# --- the loss of a step ------------------------------------------------------------------------------------------


def test_pairs_that_the_loss_would_multiply_by_zero_are_left_out_and_counted(tmp_path: Path) -> None:
    pairs = make_pairs(9, weights=(1.0, 0.0, 0.5))  # one in three of weight 0; every third is an image pair
    seen: list[Any] = []
    options = train_options(lora=LORA, validation=0, epochs=1, batch_size=2, pairs=PairCoefficients(image=0))
    table: dict[str, Any] = {}
    result = train_adapter(pairs, make_backbone(), options, tmp_path, Setting(), seen.append, precomputed=table)
    silent = [weighted for weighted in pairs if weighted.weight == 0 or weighted.pair.kind == "image"]
    assert sum_counts(result.counts, "weightless_pairs") == len(silent)
    assert sum_counts(result.counts, "trained_pairs") == 9 - len(silent)
    assert result.steps == -(-(9 - len(silent)) // 2)
    (encoded,) = [event for event in seen if isinstance(event, StageFinished) and event.stage == "encode"]
    assert [sum_counts(encoded.counts, what) for what in ("pairs", "weightless_pairs")] == [
        9 - len(silent),
        len(silent),
    ]
    assert len(table) == 9 - len(silent)


def test_a_pair_of_weight_zero_is_not_in_the_steps_denominator(tmp_path: Path) -> None:
    pairs = make_pairs(2, weights=(1.0, 0.0))
    alone, beside = change(tmp_path / "1", pairs[:1], batch_size=1), change(tmp_path / "2", pairs, batch_size=2)
    assert torch.equal(beside, alone)


def test_a_coefficient_of_zero_trains_as_if_pairs_of_that_kind_were_not_there(tmp_path: Path) -> None:
    pairs = make_pairs(9)
    texts = [weighted for weighted in pairs if weighted.pair.kind == "text"]
    by_coefficient = change(tmp_path / "coefficient", pairs, batch_size=2, pairs=PairCoefficients(image=0))
    assert torch.equal(by_coefficient, change(tmp_path / "alone", texts, batch_size=2))


def test_pairs_that_all_weigh_nothing_are_an_error_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="4 of 4 are of weight 0"):
        fit(tmp_path, make_pairs(4, weights=(0.0,)))


def test_doubled_weights_double_the_gradient(tmp_path: Path) -> None:
    once = change(tmp_path / "1", make_pairs(4), batch_size=4)
    twice = change(tmp_path / "2", make_pairs(4, weights=(1.5, 2.0, 2.5)), batch_size=4)
    assert apart(twice, 2 * once) < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("nll", [0.0, 0.5])
def test_one_by_eight_is_eight_is_four_by_two_with_an_unequal_last_step(tmp_path: Path, nll: float) -> None:
    pairs, loss = make_pairs(19), make_losses(**({"nll": nll} if nll else {}))  # steps of 8, 8 and 3 pairs
    whole = change(tmp_path / "8", pairs, batch_size=8, loss=loss)
    for size, times in ((1, 8), (4, 2)):
        assert apart(change(tmp_path / f"{size}", pairs, batch_size=size, accumulate=times, loss=loss), whole) < 1e-5


def test_the_first_loss_is_log_two_times_the_mean_weight(tmp_path: Path) -> None:
    pairs = make_pairs(11, weights=(0.75, 1.0, 1.25, 0.0))
    result = fit(tmp_path, pairs, batch_size=3, accumulate=4)
    weights = [weighted.weight for weighted in pairs if weighted.weight]
    assert result.history[0]["loss"] == pytest.approx(math.log(2) * sum(weights) / len(weights), rel=1e-5)


def test_an_image_pair_learns_from_the_image_alone(tmp_path: Path) -> None:
    noised = [weighted for weighted in make_pairs(9) if weighted.pair.kind == "image"]
    same = [replace(w, pair=replace(w.pair, rejected=w.pair.chosen)) for w in noised]
    assert change(tmp_path / "noised", noised, batch_size=4).abs().max() > 0
    assert change(tmp_path / "same", same, batch_size=4).abs().max() < 1e-7


# --- the KL term -------------------------------------------------------------------------------------------------


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


# --- the adapter -------------------------------------------------------------------------------------------------


def stock_margins(base_folder: Path, adapter: Path | None, pairs: list[EncodedPair], backbone: Any) -> torch.Tensor:
    """Compute log p(chosen) - log p(rejected) with stock transformers and stock PEFT, a sequence at a time."""
    from peft import PeftModel
    from transformers import LlavaForConditionalGeneration

    model = LlavaForConditionalGeneration.from_pretrained(base_folder)
    model = (PeftModel.from_pretrained(model, adapter) if adapter else model).eval()
    values = []
    for pair in pairs:
        sides = []
        for side in (pair.chosen, pair.rejected):
            ids = torch.from_numpy(side.ids).long()[None]
            (pixels,) = PixelCache(backbone).of(side)
            with torch.no_grad():
                logits = model(input_ids=ids, **pixels).logits[0, side.answer_start - 1 : -1]
            sides.append(logits.log_softmax(-1).gather(1, ids[0, side.answer_start :, None]).sum())
        values.append(sides[0] - sides[1])
    return torch.stack(values)


@pytest.mark.parametrize("projector", [None, ProjectorOptions(learning_rate=0.005)], ids=["lora", "lora and projector"])
def test_stock_peft_on_the_stock_model_gives_the_trained_policy(
    tmp_path: Path, projector: ProjectorOptions | None
) -> None:
    make_model().save_pretrained(tmp_path / "base")
    result = fit(tmp_path, make_pairs(12), batch_size=4, validation=0.5, projector=projector)
    backbone = make_backbone()
    encoded = [encode_pair(weighted, backbone, PixelCache(backbone)) for weighted in make_pairs(12)]
    _, held_out = hold_out(encoded, 0.5, 5)
    after = stock_margins(tmp_path / "base", tmp_path / "adapter", held_out, backbone)
    before = stock_margins(tmp_path / "base", None, held_out, backbone)
    assert result.validation["all"].pairs == len(held_out) > 0
    assert result.validation["all"].margin == pytest.approx(0.1 * (after - before).mean().item(), abs=1e-5)


def test_the_adapter_folder_is_plain_peft_without_pickle(tmp_path: Path) -> None:
    fit(tmp_path, make_pairs(4))
    names = sorted(path.name for path in (tmp_path / "adapter").iterdir())
    assert names == ["adapter_config.json", "adapter_model.safetensors", "base.json"]
    assert not any(".ref." in name or "default" in name for name in weights_of(tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("packing", ["tree", "pairs"])
@pytest.mark.parametrize("kept", [64, 0], ids=["image features kept", "looked at each time"])
@pytest.mark.parametrize("own", [None, ProjectorOptions(learning_rate=0.01)], ids=["lora", "lora and projector"])
def test_in_bfloat16_a_step_goes_where_it_goes_in_float32(
    tmp_path: Path, packing: str, kept: int, own: ProjectorOptions | None
) -> None:
    moved = []
    for dtype in ("float32", "bfloat16"):
        backbone = make_backbone(make_model().to(getattr(torch, dtype)))
        options = {"packing": packing, "vision_memory": kept, "projector": own, "loss": make_losses(nll=1.0)}
        options |= {"warmup_ratio": 0, "optimizer": "sgd", "trl": PLAIN_SGD, "gradient_checkpointing": own is not None}
        chosen = train_options(lora=LORA, validation=0.5, learning_rate=0.01, epochs=1, batch_size=16, **options)
        done = train_adapter(
            make_pairs(8), backbone, chosen, tmp_path / dtype, Setting(seed=5, dtype=dtype), lambda event: None
        )
        assert done.validation["all"].pairs
        moved.append(
            torch.cat([value.flatten() for name, value in weights_of(tmp_path / dtype).items() if "_B" in name])
        )
    assert apart(moved[1], moved[0]) < 0.06  # .052 with the oldest transformers and PEFT, less with the newest


def test_the_projector_learns_at_its_own_rate_and_only_on_request(tmp_path: Path) -> None:
    fit(tmp_path / "without", make_pairs(4))
    assert not any("projector" in name for name in weights_of(tmp_path / "without"))
    for rate in (0.001, 0.003):
        own = ProjectorOptions(learning_rate=rate)
        fit(
            tmp_path / f"{rate}",
            make_pairs(4),
            batch_size=4,
            projector=own,
            optimizer="sgd",
            trl=PLAIN_SGD,
            warmup_ratio=0,
        )
    start = make_model().model.multi_modal_projector.linear_1.weight.data
    name = "base_model.model.model.multi_modal_projector.linear_1.weight"
    slow, fast = (weights_of(tmp_path / f"{rate}")[name] - start for rate in (0.001, 0.003))
    assert slow.norm() > 0
    assert apart(fast, 3 * slow) < 1e-3


def test_one_seed_gives_one_adapter_bit_for_bit_and_another_seed_another(tmp_path: Path) -> None:
    backbone, pairs = make_backbone(), make_pairs(9)
    for name in ("one", "again"):  # the second time on the same backbone, which the first left as it was
        fit(tmp_path / name, pairs, backbone, batch_size=4, epochs=2, lora=LoraOptions(r=4, alpha=8, dropout=0.2))
    assert adapter_bytes(tmp_path / "one") == adapter_bytes(tmp_path / "again")
    options = train_options(lora=LORA, epochs=1, validation=0)
    train_adapter(pairs, backbone, options, tmp_path / "other", Setting(seed=6), lambda event: None)
    assert adapter_bytes(tmp_path / "other") != adapter_bytes(tmp_path / "one")


def test_training_leaves_the_backbone_as_it_was(tmp_path: Path) -> None:
    backbone = make_backbone()
    before = {name: value.clone() for name, value in backbone.model.state_dict().items()}
    settings = backbone.model.generation_config.to_dict(), backbone.model.config.to_dict()
    fit(tmp_path, make_pairs(6), backbone, projector=ProjectorOptions(), gradient_checkpointing=True)
    after = backbone.model.state_dict()
    assert set(after) == set(before)
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert (backbone.model.generation_config.to_dict(), backbone.model.config.to_dict()) == settings
    assert not backbone.model.training
    assert "forward" not in vars(backbone.model)


def test_gradient_checkpointing_changes_nothing(tmp_path: Path) -> None:
    plain = change(tmp_path / "plain", make_pairs(6), batch_size=3)
    assert apart(change(tmp_path / "saved", make_pairs(6), batch_size=3, gradient_checkpointing=True), plain) < 1e-6


# --- going on from an adapter ------------------------------------------------------------------------------------


@pytest.fixture
def sft(tmp_path: Path) -> Path:
    fit(tmp_path / "sft", make_pairs(8), batch_size=4, learning_rate=0.05, loss=make_losses(nll=1.0))
    return tmp_path / "sft" / "adapter"


def make_started(sft: Path) -> Any:
    backbone = make_backbone()
    backbone.model = load_adapter(backbone.model, sft)
    return backbone


def test_the_reference_of_a_run_that_starts_from_an_adapter_is_that_adapter(tmp_path: Path, sft: Path) -> None:
    make_model().save_pretrained(tmp_path / "base")
    table: dict[str, tuple[float, float]] = {}
    backbone, pairs = make_started(sft), make_pairs(6)
    options = train_options(lora=LORA, epochs=1, learning_rate=0.01, batch_size=6, validation=0)
    result = train_adapter(pairs, backbone, options, tmp_path, Setting(), lambda event: None, precomputed=table)
    encoded = [encode_pair(weighted, backbone, PixelCache(backbone)) for weighted in pairs]
    start = stock_margins(tmp_path / "base", sft, encoded, backbone)
    base = stock_margins(tmp_path / "base", None, encoded, backbone)
    kept = torch.tensor([table[pair.id][0] - table[pair.id][1] for pair in encoded])
    assert torch.allclose(kept, start, atol=1e-4)
    assert not torch.allclose(kept, base, atol=1e-2)
    mean = sum(weighted.weight for weighted in pairs) / len(pairs)
    assert result.history[0]["loss"] == pytest.approx(math.log(2) * mean, rel=1e-5)


def test_a_started_adapter_goes_on_and_the_backbone_keeps_the_old_one(tmp_path: Path, sft: Path) -> None:
    backbone = make_started(sft)
    fit(tmp_path, make_pairs(6), backbone, batch_size=2)
    start, end = load_file(sft / "adapter_model.safetensors"), weights_of(tmp_path)
    assert set(start) == set(end)
    assert any(not torch.equal(start[name], end[name]) for name in start)
    from peft import get_peft_model_state_dict

    kept = get_peft_model_state_dict(backbone.model)
    assert all(torch.equal(kept[name], start[name]) for name in start)


def test_a_started_adapter_can_take_on_the_projector(tmp_path: Path, sft: Path) -> None:
    backbone = make_started(sft)
    fit(tmp_path, make_pairs(6), backbone, batch_size=2, projector=ProjectorOptions(learning_rate=0.01))
    name = "base_model.model.model.multi_modal_projector.linear_1.weight"
    start = make_model().model.multi_modal_projector.linear_1.weight
    assert not torch.equal(weights_of(tmp_path)[name], start)
    assert torch.equal(backbone.model.get_base_model().model.multi_modal_projector.linear_1.weight, start)


def test_another_rank_than_the_starting_adapters_is_refused(tmp_path: Path, sft: Path) -> None:
    with pytest.raises(RecipeError, match=r"train\.lora\.r is 16, but the starting adapter has 4"):
        fit(tmp_path, make_pairs(4), make_started(sft), lora=LoraOptions(r=16))


def test_reference_values_that_are_known_are_not_computed_again(tmp_path: Path) -> None:
    pairs = make_pairs(5)
    table = {weighted.pair.id: (-1.0, -2.0) for weighted in pairs}
    options = train_options(lora=LORA, epochs=1, validation=0)
    train_adapter(pairs, make_backbone(), options, tmp_path, Setting(), lambda event: None, precomputed=table)
    assert set(table.values()) == {(-1.0, -2.0)}


# --- what is left out, and what is told --------------------------------------------------------------------------


def test_a_pair_over_the_limit_is_dropped_and_counted_never_cut(tmp_path: Path) -> None:
    backbone, pairs = make_backbone(), make_pairs(10)
    encoded = [encode_pair(weighted, backbone, PixelCache(backbone)) for weighted in pairs]
    lengths = [max(len(pair.chosen.ids), len(pair.rejected.ids)) for pair in encoded]
    limit = sorted(lengths)[6]
    result = fit(tmp_path, pairs, backbone, max_length=limit)
    fits = sum(length <= limit for length in lengths)
    assert [sum_counts(result.counts, what) for what in ("trained_pairs", "held_out_pairs", "too_long_pairs")] == [
        fits,
        0,
        10 - fits,
    ]
    assert fits < 10


def test_no_pair_left_is_an_error_that_says_what_to_raise(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no pair is left to train on: 3 of 3 .* train.max_length=5"):
        fit(tmp_path, make_pairs(3), max_length=5)


def test_a_loss_of_pairs_that_are_not_there_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    pairs, backbone = make_pairs(4, same_image=True), make_backbone()
    options = train_options(loss=[make_loss("sigmoid"), make_loss("anchor", pairs="image")])
    encode_pairs(pairs, backbone, PixelCache(backbone), options, lambda event: None, [{}] * 4)
    said = "mmedpo: the loss 'anchor' adds nothing: it is of image pairs, and none is trained on\n"
    assert capsys.readouterr().err == said


def test_a_pair_is_of_the_family_of_an_image_that_a_loss_borrowed_for_it() -> None:
    pairs, backbone = make_pairs(6), make_backbone()
    blank = replace(pairs[0].pair.chosen, more_images=(), image=ImageRef.drawn(make_image(77)))  # of no pair
    further = [{"0.blank": blank} for _ in pairs]
    further[0]["0.borrowed"] = pairs[5].pair.chosen
    encoded, _ = encode_pairs(pairs, backbone, PixelCache(backbone), train_options(), lambda event: None, further)
    assert encoded[0].family & encoded[5].family == {pairs[5].pair.chosen.image.sha256}
    assert not encoded[2].family & encoded[4].family


def test_held_out_pairs_share_no_image_with_trained_ones() -> None:
    backbone = make_backbone()
    encoded = [encode_pair(weighted, backbone, PixelCache(backbone)) for weighted in make_pairs(60)]
    kept, held_out = hold_out(encoded, 0.2, 0)
    assert 6 <= len(held_out) <= 18
    assert len(kept) + len(held_out) == 60
    images = [{image for pair in part for image in pair.family} for part in (kept, held_out)]
    assert not images[0] & images[1]
    assert hold_out(encoded, 0.2, 0) == (kept, held_out)
    assert hold_out(encoded, 0.2, 1) != (kept, held_out)
    assert hold_out(encoded, 0.0, 0)[1] == []


def test_held_out_pairs_share_no_patient_either() -> None:
    backbone = make_backbone()
    pairs = [
        replace(w, pair=replace(w.pair, case=replace(w.pair.case, group=f"patient {i // 10}")))
        for i, w in enumerate(make_pairs(60))
    ]
    kept, held_out = hold_out([encode_pair(weighted, backbone, PixelCache(backbone)) for weighted in pairs], 0.3, 0)
    assert len(held_out) == 20
    assert not {pair.family for pair in kept} & {pair.family for pair in held_out}


def test_held_out_pairs_share_no_image_whether_it_is_the_first_or_another() -> None:
    backbone = make_backbone()
    pairs = make_pairs(60, several=True)
    chain = [encode_pair(weighted, backbone, PixelCache(backbone)) for weighted in pairs]
    kept, held_out = hold_out(chain[:20] + chain[30:50], 0.5, 0)  # each image stands beside the next one's
    assert held_out
    assert not {image for pair in kept for image in pair.family} & {i for pair in held_out for i in pair.family}


def test_each_kind_is_measured_apart_and_the_observer_is_told(tmp_path: Path) -> None:
    events: list[Any] = []
    options = train_options(lora=LORA, epochs=2, batch_size=6, learning_rate=0.01, validation=0)
    result = train_adapter(make_pairs(12), make_backbone(), options, tmp_path, Setting(), events.append)
    logged = [event for event in events if isinstance(event, TrainingLogged) and "loss" in event.values]
    assert [(event.step, event.total) for event in logged] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    last = logged[-1].values
    assert {"rewards/margins/text", "rewards/margins/image", "rewards/margins/weighted"} <= set(last)
    assert {"rewards/accuracies/text", "rewards/accuracies/image", "rewards/accuracies/weighted"} <= set(last)
    assert [entry["loss"] for entry in result.history] == [event.values["loss"] for event in logged]
    assert result.loss.last < result.loss.first


def test_images_beyond_the_memory_limit_are_made_again() -> None:
    backbone = make_backbone()
    tight = PixelCache(backbone, limit=1)
    sides = [encode_pair(weighted, backbone, tight).chosen for weighted in make_pairs(6, several=True)]
    roomy = PixelCache(backbone)
    for side in sides:
        for one, other in zip(tight.of(side), roomy.of(side), strict=True):
            assert torch.equal(one["pixel_values"], other["pixel_values"])
    assert len(tight._held) == 1


def test_two_pairs_of_one_id_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="1 pair ids occur more than once, the first is 'case 0/words/0'"):
        fit(tmp_path, make_pairs(3) + make_pairs(1))


def test_a_loss_that_is_no_number_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"the training loss is .* lower train.learning_rate"):
        fit(tmp_path, make_pairs(6), learning_rate=1e30, epochs=5, warmup_ratio=0, optimizer="sgd", trl=PLAIN_SGD)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("not enough memory: 1")])
def test_running_out_of_memory_says_what_to_lower(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def full(*args: Any, **kwargs: Any) -> None:
        raise error

    monkeypatch.setattr(PreferenceTrainer, "side_logps", full)
    with pytest.raises(RecipeError, match=r"out of memory .* train.batch_size \(now 4.*gradient_checkpointing"):
        fit(tmp_path, make_pairs(3))


# --- any other argument of TRL -----------------------------------------------------------------------------------


def test_trl_arguments_are_passed_on(tmp_path: Path) -> None:
    result = fit(tmp_path, make_pairs(8), batch_size=2, trl={"max_steps": 3, "adam_beta2": 0.9})
    assert result.steps == 3


def test_evaluation_during_training_can_be_asked_for(tmp_path: Path) -> None:
    events: list[Any] = []
    options = train_options(lora=LORA, epochs=2, validation=0.3, trl={"eval_strategy": "epoch"})
    train_adapter(make_pairs(12), make_backbone(), options, tmp_path, Setting(), events.append)
    told = [event for event in events if isinstance(event, TrainingLogged) and "eval_rewards/margins" in event.values]
    assert len(told) == 3  # after each epoch, and at the end


def test_tensorboard_logs_go_beside_the_checkpoints(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    fit(tmp_path, make_pairs(4), report_to=["tensorboard"])
    assert list((tmp_path / "tensorboard").glob("events*"))


def test_an_unknown_trl_argument_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ValidationError, match="no argument 'wieght_decay'; did you mean 'weight_decay'"):
        train_options(trl={"wieght_decay": 0.1})


@pytest.mark.parametrize(
    "name", ["loss_type", "ld_alpha", "f_divergence_type", "precompute_ref_log_probs", "truncation_mode", "beta"]
)
def test_what_the_loss_does_not_heed_is_refused_with_a_reason(name: str) -> None:
    assert explain_refusal(name).startswith(f"{name!r} cannot be set here: ")


def test_every_refused_name_is_one_of_trls() -> None:
    from dataclasses import fields

    from trl import DPOConfig

    from mmedpo.recipe.train_options import REFUSED

    known = {item.name for item in fields(DPOConfig)} | {"activation_checkpointing"}  # older transformers lack it
    assert {name for names in REFUSED.values() for name in names} <= known


def test_a_wrong_value_of_a_trl_argument_is_the_recipes_mistake(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"train\.trl"):
        fit(tmp_path, make_pairs(3), trl={"eval_strategy": "no such time"})


def test_checking_options_imports_neither_torch_nor_trl() -> None:
    import subprocess
    import sys

    code = (
        "import sys; from mmedpo.recipe.train_options import TrainOptions; "
        "from mmedpo_plugins.losses.margins import SigmoidLoss; TrainOptions(loss=[SigmoidLoss()]); "
        "assert not {'torch', 'trl', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_docs_have_every_option_with_its_default_and_every_refused_argument() -> None:
    from pydantic import BaseModel

    from mmedpo.recipe.train_options import REFUSED

    page = (ROOT / "docs" / "training.md").read_text()
    plain: dict[str, Any] = {}
    for name, field in TrainOptions.model_fields.items():
        nested = {"projector": ProjectorOptions(), "loss": "`sigmoid`"}.get(name, field.default)
        if isinstance(nested, BaseModel):
            plain |= {f"{name}.{inner}": value for inner, value in nested.model_dump().items()}
        else:
            plain[name] = nested
    for name, value in plain.items():
        row = next(line for line in page.split("## Options")[1].splitlines() if line.startswith(f"| `{name}` | "))
        written = row.split(" | ")[1]
        same = float(written) == value if isinstance(value, float | int) and value is not False else None
        assert written == str(value).lower() if same is None else same, row
    assert all(f"`{name}`" in page for names in REFUSED.values() for name in names)
