"""TRL's DPOTrainer with two explicit sides and a weight per pair."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor
from transformers import PrinterCallback, Trainer, TrainerCallback
from transformers.trainer_utils import EvalLoopOutput
from trl import DPOConfig, DPOTrainer

from mmedpo.core.machine.disk import guard_writes
from mmedpo.errors import RecipeError
from mmedpo.models.adapters import BaseFingerprint
from mmedpo.models.output_head import selected_logits
from mmedpo.models.trees.tree_attention import NAME, attention_mask, register_attention
from mmedpo.models.vision.vision_cache import VisionCache, find_outermost
from mmedpo.recipe.train_options import TrainOptions
from mmedpo.registry.contracts.loss import SideLogps
from mmedpo.runtime.processes import barrier, broadcast_from_first, gather_objects, get_rank, get_world_size
from mmedpo.train import resume
from mmedpo.train.batches.encoding import CASE_KINDS, KINDS, EncodedPair, EncodedSide
from mmedpo.train.batches.further_sides import list_own
from mmedpo.train.batches.pair_collator import PairCollator
from mmedpo.train.batches.sampler import EpochDataLoader, PairBatchSampler, ordered_batches
from mmedpo.train.batches.tree_collator import TreeCollator
from mmedpo.train.logprobs import AnswerPositions, ReferenceLogits, changes_logits, token_logps
from mmedpo.train.lora import copy_trained_weights, save_adapter, swap_weights, train_in_float32
from mmedpo.train.loss import BatchLogps, require_finite_loss, step_share, sum_losses
from mmedpo.train.ranks.step_layout import StepLayout, share_steps
from mmedpo.train.ranks.strategy import gather_master_weights, gather_shards, prepare_sharding
from mmedpo.train.reference import Logps
from mmedpo.train.reward_metrics import SUMS, reward_metrics, sum_rewards
from mmedpo.train.side_logps import find_own, tabulate_sides


class PreferenceTrainer(DPOTrainer):
    """Train a PeftModel on preference pairs.

    The loss of an optimiser step is the sum of weight x loss over all its pairs, divided by their number: over all
    micro-batches and processes, so that unequal batches, accumulation and processes change nothing.
    """

    loss_is_scaled_for_ga = True  # we divide by the pairs of the whole step; nobody divides again

    def __init__(
        self,
        model: Any,
        args: DPOConfig,
        collator: PairCollator,
        train: Sequence[int],
        held_out: Sequence[int],
        tokenizer: Any,
        options: TrainOptions,
        seed: int,
        callbacks: Sequence[TrainerCallback] = (),
        vision: VisionCache | None = None,
    ) -> None:
        """Take the pairs of the collator: `train` and `held_out` are indices into them."""
        self.options, self.seed, self.collator = options, seed, collator
        self.vision = vision or VisionCache(collator.backbone, None)
        self.trees = isinstance(collator, TreeCollator)
        forward = vars(model.get_base_model()).get("forward")
        self.base = BaseFingerprint.of(model)
        super().__init__(
            model=model,
            args=args,
            data_collator=collator,
            train_dataset=Dataset.from_dict({"pair": list(train)}),
            eval_dataset=Dataset.from_dict({"pair": list(held_out)}) if held_out else None,
            processing_class=tokenizer,
            callbacks=[resume.ResumeKeeper(), *callbacks],
        )
        self._remove_trl_extras(forward)
        if self.is_sharded:
            self._refuse_sharding()
        if self.is_fsdp_enabled:
            prepare_sharding(self.accelerator.state.fsdp_plugin, model)
        self.remove_callback(PrinterCallback)
        self.sums = {mode: torch.zeros(len(KINDS), len(SUMS), device=args.device) for mode in ("train", "eval")}
        self.eval_sums = self.sums["eval"]  # of the latest evaluation
        self.own_sides = list_own(options)
        self.reference_weights = copy_trained_weights(self.model) if options.runs_reference else {}

    def _remove_trl_extras(self, forward: Any) -> None:
        """Remove TRL's copy of the adapter, its reference, the forward before the model's, and 16 bits of QLoRA."""
        train_in_float32(self.model)
        if "ref" in self.model.peft_config:
            self.model.delete_adapter("ref")
            self.model.set_adapter("default")  # which goes with it where there is no low-rank layer
        base = self.model.get_base_model()
        vars(base).pop("forward", None)
        if forward is not None:  # the model came with one of its own, as a model split over devices does
            base.forward = forward
        self._logits_change = changes_logits(base.config)
        text = base.config.get_text_config()
        if self.trees and text._attn_implementation == "sdpa":
            register_attention()
            text._attn_implementation = NAME

    @property
    def is_sharded(self) -> bool:
        """Whether no process holds all weights."""
        return bool(self.is_fsdp_enabled or self.is_deepspeed_enabled)

    def autocast(self) -> torch.autocast:
        """Compute in the recipe's dtype where weights that train are in float32; DeepSpeed has accelerate keep out."""
        dtype = torch.float16 if self.args.fp16 else torch.bfloat16
        return torch.autocast(self.args.device.type, dtype=dtype, enabled=self.args.fp16 or self.args.bf16)

    def _refuse_sharding(self) -> None:
        """Raise RecipeError for options that need all weights in each process."""
        needs = {"loss": self.options.runs_reference, "quantize": self.options.quantize}
        if named := [f"train.{name}" for name, wanted in needs.items() if wanted]:
            raise RecipeError(
                f"{named[0]} needs the model whole in each process; it goes with train.launch.strategy ddp, not with "
                "FSDP or DeepSpeed"
            )

    def _prepare_dataset(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
        return dataset  # rows are indices; the collator does the rest

    def _send_telemetry(self) -> None:
        """Tell nobody."""

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Write none."""

    def get_train_dataloader(self) -> EpochDataLoader:
        """Return this process's batches; accelerate would repeat pairs to make the last ones equal."""
        pairs = [self.collator.pairs[index] for index in self.train_dataset["pair"]]
        layout = share_steps(self.options, self.args.world_size, self.args.process_index)
        per_image = self.options.per_image if self.trees else 1
        return self._make_loader(self.train_dataset, PairBatchSampler(pairs, layout, self.seed, per_image))

    def get_eval_dataloader(self, eval_dataset: Any = None) -> EpochDataLoader:
        """Return this process's batches of held-out pairs."""
        dataset = self.eval_dataset if eval_dataset is None else eval_dataset
        layout = StepLayout(self.args.per_device_eval_batch_size, 1, self.args.world_size, self.args.process_index)
        return self._make_loader(dataset, ordered_batches(len(dataset), layout))

    def _make_loader(self, dataset: Dataset, batches: Any) -> EpochDataLoader:
        return EpochDataLoader(
            [{"pair": index} for index in dataset["pair"]],  # type: ignore[arg-type]
            batch_sampler=batches,
            collate_fn=self.collator,
            num_workers=self.args.dataloader_num_workers,
            pin_memory=self.args.dataloader_pin_memory,
            prefetch_factor=self.args.dataloader_prefetch_factor,
            persistent_workers=self.args.dataloader_persistent_workers,
        )

    def _get_num_items_in_batch(self, batch_samples: list[Any], device: torch.device) -> Tensor:
        """Count the pairs of an optimiser step, over all its micro-batches and processes."""
        count = torch.stack([batch["counted"].sum() for batch in batch_samples]).sum().to(device)
        return self.accelerator.gather(count).sum()

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Return these pairs' share of the step's loss."""
        sides = self.side_logps(model, inputs, self.collator.sides, bool(self.options.runs_reference))
        batch = BatchLogps(sides, inputs["weights"], inputs["kinds"], inputs["cases"], inputs["ratings"])
        losses = sum_losses(batch, self.options)  # (pairs,)
        mode = "train" if self.model.training else "eval"
        self.sums[mode] += sum_rewards(batch, self.options.beta, inputs["counted"])
        counts = [[self.options.count_pair(kind, case) for case in CASE_KINDS] for kind in KINDS]
        coefficients = torch.tensor(counts, device=losses.device)
        weights = inputs["weights"] * coefficients[inputs["kinds"], inputs["cases"]]
        if num_items_in_batch is None:
            loss = step_share(losses, weights, len(losses))
        else:  # gradients are averaged over processes: multiply, so that the average is the sum
            loss = step_share(losses, weights, num_items_in_batch) * self.accelerator.num_processes
        return (loss, {}) if return_outputs else loss

    def evaluation_loop(
        self, dataloader: Any, description: str, *args: Any, metric_key_prefix: str = "eval", **kwargs: Any
    ) -> EvalLoopOutput:
        """Measure held-out pairs; their loss is the sum over all, divided by their number."""
        model = self.model_wrapped
        model.eval()
        total = torch.zeros(2, device=self.args.device)
        for inputs in dataloader:
            batch = self._prepare_inputs(inputs)
            with torch.no_grad(), self.autocast():
                loss = self.compute_loss(model, batch, num_items_in_batch=1.0)
            total += torch.stack([loss.float() / self.accelerator.num_processes, batch["counted"].sum()])
        loss, count = self.accelerator.reduce(total).tolist()
        metrics = {f"{metric_key_prefix}_loss": loss / max(count, 1)}
        return EvalLoopOutput(predictions=(), label_ids=None, metrics=metrics, num_samples=int(count))

    def side_logps(
        self, model: Any, batch: dict[str, Any], names: Sequence[str], run_reference: bool = False
    ) -> dict[str, SideLogps]:
        """Run the model and return the log-probabilities of the answers of each side, by its name.

        With `run_reference` the reference runs beside it; otherwise what it says are the sums in the batch, if any.
        """
        base = self.accelerator.unwrap_model(model).get_base_model()
        inputs = dict(batch["inputs"])
        if "end" in inputs:
            inputs["attention_mask"] = attention_mask(inputs.pop("end"), base, batch["trees"])
        positions = AnswerPositions(**batch["positions"], **find_own(batch, names, self.own_sides))
        head = base.get_output_embeddings()
        with self._give_images(model, batch["images"]):
            reference = None
            if run_reference:
                logits = self._reference_logits(model, inputs, positions, head)
                chosen = positions.put_own(lambda: logits.argmax(1))
                reference = ReferenceLogits(logits, chosen, self.options.needs_forward_kl)
            # (answer tokens,), with a reference (answer tokens, 3 or 4)
            logps = token_logps(model, inputs, positions, head, self._logits_change, reference)
        known = dict(zip(names, batch["reference"].unbind(1), strict=True)) if "reference" in batch else {}
        return tabulate_sides(logps, batch, names, known)

    @contextmanager
    def _give_images(self, model: Any, images: Sequence[EncodedSide]) -> Iterator[None]:
        """Give the model images within its forward(): where FSDP divides a projector, it is whole only there."""
        policy = self.accelerator.unwrap_model(model)

        def add_images(module: Any, args: Any, inputs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
            return args, {**inputs, **self._vision_inputs(policy.get_base_model(), images)}

        handle = policy.base_model.register_forward_pre_hook(add_images, with_kwargs=True)
        try:
            yield
        finally:
            handle.remove()

    def _vision_inputs(self, base: Any, images: Sequence[EncodedSide]) -> dict[str, Any]:
        with self.autocast():  # a projector that trains is in float32, what it reads in the model's dtype
            return self._prepare_inputs(
                self.vision.forward_inputs(base, [one for side in images for one in self.collator.pixels.sources(side)])
            )

    def _reference_logits(self, model: Any, inputs: dict[str, Any], positions: AnswerPositions, head: Any) -> Tensor:
        """Return the logits (positions, vocabulary) of the policy before the first step."""
        policy = self.accelerator.unwrap_model(model)
        with torch.no_grad(), swap_weights(policy, self.reference_weights):
            return selected_logits(policy, inputs, positions.gather, head)

    def fill_reference(self, pairs: Sequence[EncodedPair], table: MutableMapping[str, Logps], advance: Any) -> None:
        """Compute the reference log-probabilities that the table lacks, with the policy as it is now.

        Slices are fixed and redone whole, so that what a killed run left behind changes no number; pairs of like
        length go together, so that little is padded. Each process computes every so-many-th slice, and all end with
        what the first one's table holds.
        """
        known = broadcast_from_first(dict(table))
        if get_rank():
            table.clear()
            table |= known  # type: ignore[operator]
        slices = self._missing_slices(pairs, known)
        self.model.eval()
        for start in range(0, len(slices), get_world_size()):
            own = slices[start + get_rank() : start + get_rank() + 1]
            for logps in gather_objects(self._reference_logps(own[0]) if own else []):
                table.update(logps)
                advance(len(logps))

    def _missing_slices(self, pairs: Sequence[EncodedPair], known: Mapping[str, Any]) -> list[list[EncodedPair]]:
        size = self.args.per_device_eval_batch_size
        ordered = sorted(pairs, key=lambda pair: (max(len(pair.chosen.ids), len(pair.rejected.ids)), pair.id))
        slices = [ordered[start : start + size] for start in range(0, len(ordered), size)]
        return [some for some in slices if any(pair.id not in known for pair in some)]

    def _reference_logps(self, pairs: Sequence[EncodedPair]) -> list[tuple[str, Logps]]:
        names = self.collator.sides
        batch = self._prepare_inputs(self.collator.make_batch(pairs))
        with torch.no_grad(), self.autocast():
            sides = self.side_logps(self.model, batch, names)
        logps = torch.stack([sides[name].policy for name in names], dim=1)  # (pairs, sides)
        rows = [dict(zip(names, row, strict=True)) for row in logps.tolist()]
        # A pair's own sides alone: which others the run has is no business of what it is kept under.
        return [(pair.id, tuple(row[name] for name in pair.sides)) for pair, row in zip(pairs, rows, strict=True)]

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log what the Trainer logs, and the metrics of the pairs seen since the last time."""
        mode = "train" if self.model.training else "eval"
        sums = self.accelerator.reduce(self.sums[mode].clone())
        self.sums[mode].zero_()
        if mode == "eval":
            self.eval_sums = sums
        prefix = "eval_" if mode == "eval" else ""
        metrics = {f"{prefix}{name}": value for name, value in reward_metrics(sums).items()}
        if not self.options.compares_sides:  # one side has no margin
            metrics = {name: value for name, value in metrics.items() if "rewards/" not in name}
        require_finite_loss(logs.get("loss", 0.0), self.state.global_step, self.options.loss)
        Trainer.log(self, {**logs, **metrics}, start_time)

    def create_optimizer(self, model: Any = None) -> Any:
        """Give the projector a learning rate of its own."""
        is_new = self.optimizer is None
        optimizer = super().create_optimizer(model)
        if is_new and self.options.projector is not None:
            base = (self.model if model is None else model).get_base_model()
            modules = (base.get_submodule(name) for name in find_outermost(base, self.collator.backbone.projector))
            projector = {id(parameter) for module in modules for parameter in module.parameters()}
            for group in list(optimizer.param_groups):
                moved = [parameter for parameter in group["params"] if id(parameter) in projector]
                group["params"] = [parameter for parameter in group["params"] if id(parameter) not in projector]
                if moved:
                    optimizer.add_param_group({**group, "params": moved, "lr": self.options.projector.learning_rate})
        # FSDP gives an empty group back without its settings when a checkpoint is loaded.
        optimizer.param_groups[:] = [group for group in optimizer.param_groups if group["params"]]
        return optimizer

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        folder = Path(self.args.output_dir)
        checkpoint = folder / f"checkpoint-{self.state.global_step}"
        with guard_writes(checkpoint), resume.save_whole(checkpoint):
            super()._save_checkpoint(model, trial)
            barrier()
            if self.args.should_save:
                resume.seal_checkpoint(checkpoint)
                resume.delete_old(folder)

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Write the adapter; every process has to take part where they divide it, and the first writes."""
        state = self.gather_adapter()
        if self.args.should_save:
            save_adapter(self.model, Path(output_dir or self.args.output_dir), self.base, state)

    def gather_adapter(self) -> dict[str, Any] | None:
        """Return the adapter's weights where no process has them all, of all processes; None where each has."""
        if self.is_fsdp_enabled:
            return gather_shards(self.model)
        return gather_master_weights(self.model) if self.is_deepspeed_enabled else None
