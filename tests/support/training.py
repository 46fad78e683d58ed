"""Small trainings on a tiny LLaVA, and what stock transformers and PEFT make of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from losses import train_options
from safetensors.torch import load_file
from tiny_llava import make_backbone

from mmedpo.core.records import WeightedPair
from mmedpo.models.adapters import load_adapter
from mmedpo.recipe.train_options import LoraOptions, TrainOptions
from mmedpo.registry.contracts.setting import Setting
from mmedpo.store.run_files.measures import TrainingRecord
from mmedpo.train.batches.encoding import EncodedPair, PixelCache, encode_pair
from mmedpo.train.batches.pair_collator import PairCollator
from mmedpo.train.fit import train_adapter
from mmedpo.train.lora import attach_adapter
from mmedpo.train.trainer import PreferenceTrainer
from mmedpo.train.trl_arguments import trl_arguments

LORA = LoraOptions(r=4, alpha=8)
PLAIN_SGD = {"max_grad_norm": 0.0}  # so that a step's change is the gradient of its loss


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


def make_started(sft: Path) -> Any:
    backbone = make_backbone()
    backbone.model = load_adapter(backbone.model, sft)
    return backbone
