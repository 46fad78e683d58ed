"""What is timed: a forward and backward pass over some pairs, by this trainer in several ways and by TRL's own.

trl    stock trl.DPOTrainer: it computes the reference in every step
plain  this trainer, each side a sequence of its own, reference and vision tower in every step
pairs  the same with reference and image features computed beforehand, as they are once a run
tree   token trees
flex   token trees with torch's flex attention; on a CPU, where that has no backward pass, forward alone
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from rig.machine import Machine
from rig.model import PROJECTOR, TARGETS, Size, make_backbone, make_model, make_processor, stir
from rig.pairs import Shape, weighted_pairs

Run = Callable[[Sequence[int]], None]  # forward and backward over the pairs of these numbers
KINDS = ("tree", "plain", "trl", "pairs", "flex")


def contender(
    kind: str, shape: Shape, size: Size, machine: Machine, folder: Path
) -> AbstractContextManager[tuple[Run, Any]]:
    """Open a contender by name: what runs it, and its trainer."""
    return (stock if kind == "trl" else ours)(kind, shape, size, machine, folder)


@contextmanager
def ours(kind: str, shape: Shape, size: Size, machine: Machine, folder: Path) -> Iterator[tuple[Run, Any]]:
    """Yield this trainer's, over a model of its own."""
    from mmedpo_plugins.losses.margins import SigmoidLoss

    from mmedpo import Setting
    from mmedpo.models.vision.tensor_store import TensorStore
    from mmedpo.models.vision.vision_cache import VisionCache, find_outermost
    from mmedpo.recipe.train_options import LoraOptions, TrainOptions
    from mmedpo.train.batches.encoding import PixelCache, encode_pair
    from mmedpo.train.batches.pair_collator import PairCollator
    from mmedpo.train.batches.tree_collator import TreeCollator
    from mmedpo.train.lora import attach_adapter
    from mmedpo.train.trainer import PreferenceTrainer
    from mmedpo.train.trl_arguments import trl_arguments

    backbone = make_backbone(size, machine)
    if kind == "flex":
        backbone.model.config.get_text_config()._attn_implementation = "flex_attention"
    together = shape.pairs_per_image if kind in ("tree", "flex") else 1  # flex attention is compiled for each length
    options = TrainOptions(
        loss=[SigmoidLoss()], lora=LoraOptions(r=size.rank, alpha=2 * size.rank), batch_size=together
    )
    with attach_adapter(backbone, options, 0) as model:
        pixels = PixelCache(backbone)
        pairs = [encode_pair(weighted, backbone, pixels) for weighted in weighted_pairs(shape)]
        table = {pair.id: (0.0, 0.0) for pair in pairs} if kind == "plain" else {}
        collator = PairCollator(backbone, pairs, pixels, table)
        if kind in ("tree", "flex"):
            collator = TreeCollator(backbone, pairs, pixels, table, options.row_tokens)
        store = None if kind == "plain" else TensorStore(folder / f"{kind}.bin", 2**28)
        vision = VisionCache(backbone, store, find_outermost(backbone.model, PROJECTOR))
        args = trl_arguments(options, folder, Setting(machine.device, machine.dtype))
        every = range(len(pairs))
        trainer = PreferenceTrainer(model, args, collator, every, [], backbone.tokenizer, options, 0, vision=vision)
        with forward_alone() if kind == "flex" and not machine.cuda else nullcontext():
            trainer.fill_reference(pairs, table, lambda count: None)
            stir(model)
            yield (lambda chosen: _step(kind, trainer, model, chosen)), trainer


def _step(kind: str, trainer: Any, model: Any, chosen: Sequence[int]) -> None:
    import torch

    batch = trainer._prepare_inputs(trainer.collator([{"pair": index} for index in chosen]))
    with trainer.accelerator.autocast():
        if kind == "plain":
            model.eval()
            with torch.no_grad(), model.disable_adapter():
                sides = trainer.side_logps(model, batch, trainer.collator.sides)
            batch["reference"] = torch.stack([side.policy for side in sides.values()], dim=1)
        model.train()
        loss = trainer.compute_loss(model, batch, num_items_in_batch=len(trainer.collator.pairs))
    if loss.requires_grad:
        loss.backward()


@contextmanager
def forward_alone() -> Iterator[None]:
    """Compute no gradient and compile nothing."""
    import torch

    try:
        with torch.no_grad(), torch.compiler.set_stance("force_eager"):
            yield
    finally:
        torch.compiler.reset()


@contextmanager
def stock(kind: str, shape: Shape, size: Size, machine: Machine, folder: Path) -> Iterator[tuple[Run, Any]]:
    """Yield the same for TRL's own trainer."""
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
        for weighted in weighted_pairs(shape)
    ]
    args = DPOConfig(
        output_dir=str(folder), use_cpu=not machine.cuda, bf16=machine.dtype == "bfloat16", report_to="none",
        gradient_checkpointing=False, beta=0.1,
    )  # fmt: skip
    trainer = DPOTrainer(
        model=make_model(size, machine), args=args,
        train_dataset=Dataset.from_list([{**row, "images": []} for row in rows]), processing_class=make_processor(size),
        peft_config=LoraConfig(r=size.rank, lora_alpha=2 * size.rank, target_modules=TARGETS, task_type="CAUSAL_LM"),
    )  # fmt: skip
    stir(trainer.model)

    def run(chosen: Sequence[int]) -> None:
        batch = trainer._prepare_inputs(trainer.data_collator([rows[index] for index in chosen]))
        trainer.model.train()
        with trainer.accelerator.autocast():
            loss = trainer.compute_loss(trainer.model, batch)
        (loss * len(chosen) / len(rows)).backward()

    yield run, trainer
