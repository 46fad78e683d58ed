"""TRL's DPOTrainer with two explicit sides and a weight per pair."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor
from transformers import PrinterCallback, Trainer, TrainerCallback
from transformers.trainer_utils import EvalLoopOutput
from trl import DPOConfig, DPOTrainer

from mmedpo.core.disk import guard_writes
from mmedpo.errors import DataError, RecipeError
from mmedpo.recipe.train_options import TrainOptions
from mmedpo.runtime.processes import barrier, broadcast_from_first, gather_objects, get_rank, get_world_size
from mmedpo.train import resume
from mmedpo.train.logprobs import AnswerPositions, changes_logits, spot_logits, token_logps
from mmedpo.train.lora import save_adapter
from mmedpo.train.loss import PairLogps, pair_loss, step_share
from mmedpo.train.pair_batches import KINDS, EncodedPair, PairCollator
from mmedpo.train.sampler import EpochDataLoader, PairBatchSampler, StepLayout, in_order
from mmedpo.train.tree_attention import NAME, register
from mmedpo.train.tree_batches import TreeCollator, attention_mask
from mmedpo.train.vision_cache import VisionCache

# What is summed over the pairs of a kind; every metric is a ratio of two of these.
SUMS = ("pairs", "margin", "right", "chosen", "rejected", "weight", "weighted_margin", "weighted_right")


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
        sight: VisionCache | None = None,
    ) -> None:
        """Take the pairs of the collator: `train` and `held_out` are indices into them."""
        self.options, self.seed, self.collator = options, seed, collator
        self.sight = sight or VisionCache(collator.backbone, collator.pixels, None, [])
        self.trees = isinstance(collator, TreeCollator)
        forward = vars(model.get_base_model()).get("forward")
        super().__init__(
            model=model,
            args=args,
            data_collator=collator,
            train_dataset=Dataset.from_dict({"pair": list(train)}),
            eval_dataset=Dataset.from_dict({"pair": list(held_out)}) if held_out else None,
            processing_class=tokenizer,
            callbacks=[_CheckpointLogger(), *callbacks],
        )
        self._without_trl_extras(forward)
        self.remove_callback(PrinterCallback)
        self.sums = {mode: torch.zeros(len(KINDS), len(SUMS), device=args.device) for mode in ("train", "eval")}
        self.evaluated = self.sums["eval"]  # of the latest evaluation
        self.start = self._trained_weights() if options.loss.kl else {}

    def _without_trl_extras(self, forward: Any) -> None:
        """Remove TRL's copy of the adapter, its reference, and the forward it puts before the model's."""
        if "ref" in self.model.peft_config:
            self.model.delete_adapter("ref")
        base = self.model.get_base_model()
        vars(base).pop("forward", None)
        if forward is not None:  # the model came with one of its own, as a model split over devices does
            base.forward = forward
        self._scaled = changes_logits(base.config)
        text = base.config.get_text_config()
        if self.trees and text._attn_implementation == "sdpa":
            register()
            text._attn_implementation = NAME

    def _trained_weights(self) -> dict[str, Tensor]:
        """Return copies of the weights that training changes; small, as an adapter is."""
        if self.is_fsdp_enabled or self.is_deepspeed_enabled:
            raise RecipeError(
                "train.loss.kl needs the adapter whole in each process; it does not go with FSDP or DeepSpeed"
            )
        weights = self.model.named_parameters()
        return {name: weight.detach().clone() for name, weight in weights if weight.requires_grad}

    def _prepare_dataset(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
        return dataset  # rows are indices; the collator does the rest

    def _send_telemetry(self) -> None:
        """Tell nobody."""

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Write none."""

    def get_train_dataloader(self) -> EpochDataLoader:
        """Return this process's batches; accelerate would repeat pairs to make the last ones equal."""
        pairs = [self.collator.pairs[index] for index in self.train_dataset["pair"]]
        shared = self._shared(self.args.per_device_train_batch_size, self.args.gradient_accumulation_steps)
        return self._loader(
            self.train_dataset, PairBatchSampler(pairs, shared, self.seed, self.options.per_image if self.trees else 1)
        )

    def get_eval_dataloader(self, eval_dataset: Any = None) -> EpochDataLoader:
        """Return this process's batches of held-out pairs."""
        dataset = self.eval_dataset if eval_dataset is None else eval_dataset
        return self._loader(dataset, in_order(len(dataset), self._shared(self.args.per_device_eval_batch_size, 1)))

    def _shared(self, batch: int, accumulate: int) -> StepLayout:
        return StepLayout(batch, accumulate, self.args.world_size, self.args.process_index)

    def _loader(self, dataset: Dataset, batches: Any) -> EpochDataLoader:
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
        policy = self.answers(model, inputs, strayed=bool(self.options.loss.kl))
        chosen, rejected = inputs["reference"].unbind(1)
        reference = PairLogps(chosen, rejected, policy.chosen_tokens, policy.rejected_tokens)
        losses = pair_loss(policy, reference, self.options.beta, self.options.loss)
        self._add_up(policy, reference, inputs)
        coefficients = torch.tensor([self.options.loss.text, self.options.loss.image], device=losses.device)
        weights = inputs["weights"] * coefficients[inputs["kinds"]]
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
            with torch.no_grad(), self.accelerator.autocast():
                loss = self.compute_loss(model, batch, num_items_in_batch=1.0)
            total += torch.stack([loss.float() / self.accelerator.num_processes, batch["counted"].sum()])
        loss, count = self.accelerator.reduce(total).tolist()
        metrics = {f"{metric_key_prefix}_loss": loss / max(count, 1)}
        return EvalLoopOutput(predictions=(), label_ids=None, metrics=metrics, num_samples=int(count))

    def answers(self, model: Any, batch: dict[str, Any], strayed: bool = False) -> PairLogps:
        """Run the model and return the log-probabilities of both sides' answers.

        `strayed` asks also how far the policy is from where it started, for which it runs twice.
        """
        base = self.accelerator.unwrap_model(model).get_base_model()
        inputs = {**batch["inputs"], **self._shown(base, batch["images"])}
        if "end" in inputs:
            inputs["attention_mask"] = attention_mask(inputs.pop("end"), base, batch["trees"])
        asked = AnswerPositions(batch["rows"], batch["columns"], batch["spot"], batch["target"])
        head = base.get_output_embeddings()
        beside = self._at_the_start(model, inputs, batch["images"], asked, head) if strayed else None
        told = token_logps(model, inputs, asked, head, self._scaled, beside)
        # (sides, longest answer), or with divergences (sides, longest answer, 2)
        table = told.new_zeros(len(batch["tokens"]), int(batch["place"].max()) + 1, *told.shape[1:])
        # Each place is written once, so that no order of additions can change the result.
        sums = table.index_put((batch["side"], batch["place"]), told).sum(1)
        if not strayed:
            return PairLogps(*sums.chunk(2), *batch["tokens"].chunk(2))
        logps, distance = sums.unbind(1)
        found = PairLogps(*logps.chunk(2), *batch["tokens"].chunk(2))
        return replace(found, strayed=distance.chunk(2)[0] / found.chosen_tokens)

    def _shown(self, base: Any, images: Sequence[Any]) -> dict[str, Any]:
        with self.accelerator.autocast():  # a projector that trains is in float32, what it reads in the model's dtype
            return self._prepare_inputs(self.sight.inputs(base, images))

    def _at_the_start(
        self, model: Any, inputs: dict[str, Any], images: Sequence[Any], asked: AnswerPositions, head: Any
    ) -> Tensor:
        """Return the logits (spots, vocabulary) of the policy before the first step."""
        start = self.accelerator.unwrap_model(model)
        with torch.no_grad(), self._as_started():
            if self.options.projector is not None:  # features that are ready came from the projector of now
                inputs = {**inputs, **self._shown(start.get_base_model(), images)}
            return spot_logits(start, inputs, asked, head)

    @contextmanager
    def _as_started(self) -> Iterator[None]:
        """Put the weights that training began with in place of those it changed."""
        model = self.accelerator.unwrap_model(self.model)
        now: dict[str, Tensor] = {}
        for name, weight in model.named_parameters():
            if name in self.start:
                now[name], weight.data = weight.data, self.start[name]
        training = model.training
        model.eval()  # the reference knows no dropout
        try:
            yield
        finally:
            model.train(training)
            for name, weight in model.named_parameters():
                if name in now:
                    weight.data = now[name]

    def fill_reference(
        self, pairs: Sequence[EncodedPair], table: MutableMapping[str, tuple[float, float]], advance: Any
    ) -> None:
        """Compute the reference log-probabilities that the table lacks, with the policy as it is now.

        Slices are fixed and redone whole, so that what a killed run left behind changes no number; pairs of like
        length go together, so that little is padded. Each process computes every so-many-th slice, and all end with
        what the first one's table holds.
        """
        known = broadcast_from_first(dict(table))
        if get_rank():
            table.clear()
            table |= known  # type: ignore[operator]
        slices = self._unknown(pairs, known)
        self.model.eval()
        for start in range(0, len(slices), get_world_size()):
            mine = slices[start + get_rank() : start + get_rank() + 1]
            for some in gather_objects(self._reference(mine[0]) if mine else []):
                table.update(some)
                advance(len(some))

    def _unknown(self, pairs: Sequence[EncodedPair], known: Mapping[str, Any]) -> list[list[EncodedPair]]:
        size = self.args.per_device_eval_batch_size
        ordered = sorted(pairs, key=lambda pair: (max(len(pair.chosen.ids), len(pair.rejected.ids)), pair.id))
        slices = [ordered[start : start + size] for start in range(0, len(ordered), size)]
        return [some for some in slices if any(pair.id not in known for pair in some)]

    def _reference(self, some: Sequence[EncodedPair]) -> list[tuple[str, tuple[float, float]]]:
        batch = self._prepare_inputs(self.collator.batch(some))
        with torch.no_grad(), self.accelerator.autocast():
            found = self.answers(self.model, batch)
        sides = zip(found.chosen.tolist(), found.rejected.tolist(), strict=True)
        return list(zip((pair.id for pair in some), sides, strict=True))

    def _add_up(self, policy: PairLogps, reference: PairLogps, inputs: dict[str, Any]) -> None:
        """Add these pairs to the sums that the metrics are made of."""
        with torch.no_grad():
            chosen = self.options.beta * (policy.chosen - reference.chosen)
            rejected = self.options.beta * (policy.rejected - reference.rejected)
            margin, weight = chosen - rejected, inputs["weights"]
            right = (margin > 0).to(margin.dtype)
            facts = [torch.ones_like(margin), margin, right, chosen, rejected, weight, weight * margin, weight * right]
            table = torch.stack(facts, dim=1).float() * inputs["counted"][:, None]
            for kind, sums in enumerate(self.sums["train" if self.model.training else "eval"]):
                sums += (table * (inputs["kinds"] == kind)[:, None]).sum(0)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log what the Trainer logs, and the metrics of the pairs seen since the last time."""
        mode = "train" if self.model.training else "eval"
        sums = self.accelerator.reduce(self.sums[mode].clone())
        self.sums[mode].zero_()
        if mode == "eval":
            self.evaluated = sums
        prefix = "eval_" if mode == "eval" else ""
        metrics = {f"{prefix}{name}": value for name, value in measures(sums).items()}
        if self.options.loss.kind == "sft":  # one side has no margin
            metrics = {name: value for name, value in metrics.items() if "rewards/" not in name}
        _check_number(logs.get("loss", 0.0), self.state.global_step)
        Trainer.log(self, {**logs, **metrics}, start_time)

    def create_optimizer(self, model: Any = None) -> Any:
        """Give the projector a learning rate of its own."""
        made = self.optimizer is None
        optimizer = super().create_optimizer(model)
        if made and self.options.projector is not None:
            named = (self.model if model is None else model).named_parameters()
            projector = {id(parameter) for name, parameter in named if ".modules_to_save." in name}
            for group in list(optimizer.param_groups):
                moved = [parameter for parameter in group["params"] if id(parameter) in projector]
                group["params"] = [parameter for parameter in group["params"] if id(parameter) not in projector]
                if moved:
                    optimizer.add_param_group({**group, "params": moved, "lr": self.options.projector.learning_rate})
        return optimizer

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        folder = Path(self.args.output_dir)
        checkpoint = folder / f"checkpoint-{self.state.global_step}"
        with guard_writes(checkpoint), resume.save_whole(checkpoint):
            super()._save_checkpoint(model, trial)
            barrier()
            if self.args.should_save:
                resume.seal_checkpoint(checkpoint)
                resume.drop_old(folder)

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        save_adapter(self.model, Path(output_dir or self.args.output_dir), state_dict)


class _CheckpointLogger(TrainerCallback):
    """Log wherever a checkpoint is written, so that a resumed run's log is that of a run never killed."""

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        """Ask for a log when a checkpoint is due."""
        control.should_log = control.should_log or control.should_save
        return control


def measures(sums: Tensor) -> dict[str, float]:
    """Turn sums (kinds, SUMS) into reward margins and accuracies: all pairs, weighted, and each kind's own."""
    metrics: dict[str, float] = {}
    total = dict(zip(SUMS, sums.sum(0).tolist(), strict=True))
    if total["pairs"]:
        metrics["pairs"] = total["pairs"]
        metrics |= {f"rewards/{side}": total[side] / total["pairs"] for side in ("chosen", "rejected")}
        metrics |= _margin_and_accuracy(total, "pairs", "margin", "right", "")
    if total["weight"]:
        metrics |= _margin_and_accuracy(total, "weight", "weighted_margin", "weighted_right", "/weighted")
    for kind, row in zip(KINDS, sums.tolist(), strict=True):
        own = dict(zip(SUMS, row, strict=True))
        if own["pairs"]:
            metrics |= _margin_and_accuracy(own, "pairs", "margin", "right", f"/{kind}")
    return metrics


def _margin_and_accuracy(sums: dict[str, float], per: str, margin: str, right: str, name: str) -> dict[str, float]:
    return {f"rewards/margins{name}": sums[margin] / sums[per], f"rewards/accuracies{name}": sums[right] / sums[per]}


def _check_number(loss: float, step: int) -> None:
    if not math.isfinite(loss):
        raise DataError(
            f"the training loss is {loss} at step {step}; lower train.learning_rate, or use dtype: float32 or bfloat16"
        )
