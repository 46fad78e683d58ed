"""Loss, gradients and adapters are those of stock TRL and stock PEFT, where these can follow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from losses import make_loss, train_options
from tiny_llava import make_backbone, make_model, make_pairs, make_tokenizer
from training import LORA, apart, fit, gradients, open_trainer, stir, stock_margins, weights_of

from mmedpo.core.records import WeightedPair
from mmedpo.recipe.train_options import ProjectorOptions, TrainOptions
from mmedpo.train.batches.encoding import PixelCache, encode_pair
from mmedpo.train.batches.held_out import hold_out


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
