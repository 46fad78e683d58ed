"""How to train: the recipe's `train:` section. Imports neither torch nor trl, so that checking a recipe stays quick."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, InstanceOf, field_validator, model_validator

from mmedpo.core.records import CaseKind, PairKind
from mmedpo.registry.contracts.loss import Loss
from mmedpo.registry.path_options import ExistingFile

Tracker = Literal[
    "azure_ml", "clearml", "codecarbon", "comet_ml", "dagshub", "dvclive", "flyte", "kubeflow", "mlflow", "neptune",
    "swanlab", "tensorboard", "trackio", "wandb",
]  # fmt: skip


# DPOConfig arguments that this trainer would have to ignore, or that the recipe says elsewhere: reason -> names.
REFUSED: dict[str, tuple[str, ...]] = {
    "the loss is set by train.loss": ("loss_type", "loss_weights", "label_smoothing", "discopop_tau"),
    "set train.beta": ("beta",),
    "this loss is not implemented here": (
        "ld_alpha", "f_divergence_type", "f_alpha_divergence_coef", "use_weighting", "router_aux_loss_coef",
        "label_smoothing_factor", "average_tokens_across_devices",
    ),
    "the reference is always the starting policy, computed once before the first step": (
        "precompute_ref_log_probs", "precompute_ref_batch_size", "sync_ref_model", "ref_model_mixup_alpha",
        "ref_model_sync_steps",
    ),
    "a sequence over train.max_length is dropped and counted, never cut": ("max_length", "truncation_mode"),
    "batches are padded to their longest sequence": ("padding_free", "pad_to_multiple_of", "pad_token"),
    "the backbone brings the model": ("model_init_kwargs", "trust_remote_code"),
    "set train.lora.dropout; all other dropout is off": ("disable_dropout",),
    "set train.epochs": ("num_train_epochs",),
    "set train.learning_rate": ("learning_rate",),
    "set train.scheduler": ("lr_scheduler_type",),
    "set train.warmup_ratio": ("warmup_steps",),
    "set train.batch_size and train.accumulate": (
        "per_device_train_batch_size", "gradient_accumulation_steps", "auto_find_batch_size",
    ),
    "set train.gradient_checkpointing": ("gradient_checkpointing", "activation_checkpointing"),
    "set train.report_to": ("report_to",),
    "set train.optimizer": ("optim",),
    "set the recipe's seed": ("seed", "data_seed"),
    "set the recipe's device": ("use_cpu", "local_rank"),
    "set the recipe's dtype": ("bf16", "fp16", "bf16_full_eval", "fp16_full_eval"),
    "set train.checkpoint_every; the two newest checkpoints are kept, and resuming needs all of them": (
        "output_dir", "save_strategy", "save_steps", "save_total_limit", "save_only_model", "save_on_each_node",
        "enable_jit_checkpoint", "ignore_data_skip", "resume_from_checkpoint", "load_best_model_at_end",
        "metric_for_best_model", "greater_is_better",
    ),
    "the finished adapter is published by hand, on purpose": (
        "push_to_hub", "hub_token", "hub_private_repo", "hub_model_id", "hub_strategy", "hub_always_push",
        "hub_revision",
    ),
    "the batches are put together by mmedpo": (
        "remove_unused_columns", "label_names", "train_sampling_strategy", "length_column_name", "dataset_num_proc",
        "dataloader_drop_last", "accelerator_config",
    ),
    "the display is set by mmedpo": ("disable_tqdm",),
    "a loss that is not a number stops the run": ("logging_nan_inf_filter",),
    "it has no effect on preference training": (
        "do_train", "do_eval", "do_predict", "prediction_loss_only", "include_for_metrics", "batch_eval_metrics",
        "eval_do_concat_batches", "eval_use_gather_object", "eval_accumulation_steps",
        "include_num_input_tokens_seen",
    ),
}  # fmt: skip

Strategy = Literal["ddp", "fsdp", "deepspeed"]


class OptionGroup(BaseModel):
    """A group of options."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


class LoraOptions(OptionGroup):
    """The low-rank adapter on the language model's linear layers."""

    r: int = Field(default=128, ge=1)
    """Rank."""
    alpha: float = Field(default=256, gt=0)
    """Scale: the adapter's output is multiplied by alpha / r."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout on the adapter's input. Above 0, a pair's log-probabilities depend on the draw."""
    dora: bool = False
    """DoRA: learn how long each weight's rows are apart from where they point."""
    rslora: bool = False
    """Rank-stabilised: the scale is alpha / sqrt(r), so that a high rank learns as fast as a low one."""


class ProjectorOptions(OptionGroup):
    """Training of the projector between vision tower and language model."""

    learning_rate: float = Field(default=2e-5, gt=0)
    """The projector's own learning rate; it follows the same schedule."""
    lora: bool = False
    """Put `train.lora` on its linear layers instead of training it whole, for engines that take low rank alone."""


class PairCoefficients(OptionGroup):
    """What a pair counts beside its weight: the product of what its kind and its case's do; at 0 it is left out."""

    text: float = Field(default=1.0, ge=0)
    """What a text pair counts."""
    image: float = Field(default=1.0, ge=0)
    """What an image pair counts."""
    closed: float = Field(default=1.0, ge=0)
    """What a pair of a closed question counts, or the case itself where cases are learned."""
    open: float = Field(default=1.0, ge=0)
    """What a pair of an open question counts, or the case itself."""
    report: float = Field(default=1.0, ge=0)
    """What a pair of a report counts, or the case itself."""

    def of_cases(self) -> PairCoefficients:
        """Return what counts where cases are learned, which are of no kind of pair."""
        return self.model_copy(update={"text": 1.0, "image": 1.0})

    def show(self) -> str:
        """Return them as a line."""
        return ", ".join(f"{name} {value:g}" for name, value in self)


class LaunchOptions(OptionGroup):
    """Training in several processes, which torchrun starts, or `accelerate launch` where `config` is given."""

    processes: int | None = Field(default=None, ge=1)
    """How many; without it, what `config` says, or one a GPU."""
    strategy: Strategy = "ddp"
    """ddp: each has the whole model; fsdp, deepspeed: they divide what a GPU's memory is too small for."""
    config: ExistingFile | None = None
    """A configuration file of accelerate, in place of `strategy`."""

    @model_validator(mode="after")
    def _one_of_both(self) -> LaunchOptions:
        if self.config is not None and self.strategy != "ddp":
            raise ValueError(f"config says how the model is shared, so leave strategy: {self.strategy} out")
        return self


class TrainOptions(OptionGroup):
    """How to train."""

    epochs: float = Field(default=3, gt=0)
    """Passes over the pairs."""
    learning_rate: float = Field(default=1e-7, gt=0)
    """The adapter's peak learning rate."""
    beta: float = Field(default=0.1, gt=0)
    """How strongly the policy is held to the reference: the factor of every log-ratio."""
    batch_size: int = Field(default=4, ge=1)
    """Pairs that run together on a device, at most."""
    accumulate: int = Field(default=1, ge=1)
    """Batches per optimiser step; several processes share them, so that a step has the same pairs for any number."""
    warmup_ratio: float = Field(default=0.03, ge=0, lt=1)
    """Share of the steps over which the learning rate rises."""
    scheduler: Literal["cosine", "linear", "constant"] = "cosine"
    """How the learning rate goes on after the warm-up."""
    max_length: int = Field(default=1024, ge=2)
    """Longest sequence in tokens, image included; a pair with a longer side is dropped and counted, never cut."""
    method: Literal["lora", "full"] = "lora"
    """What trains of the language model: a low-rank adapter, or full: all its weights, which the adapter then holds."""
    lora: LoraOptions = LoraOptions()
    """The low-rank adapter."""
    vision_tower: bool = False
    """Train the vision tower as well, by the same method; pairs are then computed plainly, and no image is kept."""
    quantize: Literal["4bit", "8bit"] | None = None
    """Hold the frozen model in so many bits while training and for the reference (QLoRA); needs `mmedpo[quantize]`."""
    projector: ProjectorOptions | None = None
    """Train the projector as well; it is then saved in the adapter."""
    loss: Annotated[list[InstanceOf[Loss]], Field(min_length=1)]
    """The losses whose sum is the loss of a pair; by default `sigmoid`, the paper's."""
    pairs: PairCoefficients = PairCoefficients()
    """What pairs count by their kind and their case's."""
    cases: Literal["all", "pairs"] | None = None
    """`all`: learn every case that was read, and no pair; `pairs`: the pairs. Without it, all cases where the data have
    any and each loss can learn a case: of all pair kinds, needing neither a rejected nor a further side."""
    validation: float = Field(default=0.05, ge=0, le=0.5)
    """Share of the pairs held out, by image: an image is never on both sides of the split."""
    optimizer: Literal["adamw", "adamw_8bit", "paged_adamw", "paged_adamw_8bit", "adafactor", "sgd"] = "adamw"
    """What steps by the gradients; 8bit: its state in bytes, paged: moved to RAM when a GPU is full (bitsandbytes)."""
    gradient_checkpointing: bool = False
    """Save memory by computing activations twice."""
    checkpoint_every: int = Field(default=50, ge=1)
    """Optimiser steps between checkpoints, from which a killed run goes on."""
    report_to: list[Tracker] = []
    """Experiment trackers to log to; each must be installed."""
    packing: Literal["tree", "pairs"] = "tree"
    """How pairs become batches: tree computes what the sides of an image have in common once, pairs each side alone."""
    row_tokens: int = Field(default=4096, ge=1)
    """Token trees that share a row have about this many tokens at most."""
    per_image: int = Field(default=0, ge=0)
    """How many pairs of one image are kept together in a step; 0: as many as fit, 1: plain shuffling."""
    vision_memory: int = Field(default=1024, ge=0)
    """MiB of memory for what a frozen vision tower made of the images; all of it is on disk. 0: it looks each time."""
    launch: LaunchOptions | None = None
    """Train in several processes, which share the pairs of each step."""
    trl: dict[str, Any] = {}
    """Any other argument of trl.DPOConfig, by name."""

    @property
    def packs_trees(self) -> bool:
        """Whether the sides of an image are to share a token tree, where the model can."""
        return self.packing == "tree"

    @property
    def compares_sides(self) -> bool:
        """Whether two sides are compared; otherwise the chosen answers are learned as they are."""
        return any(loss.needs_rejected for loss in self.loss)

    @property
    def needs_pairs(self) -> str:
        """Which loss cannot learn a case that is in no pair, and why; "" where all can."""
        return next((f"{loss.use!r} {why}" for loss in self.loss if (why := explain_pairs(loss))), "")

    @property
    def examples(self) -> Literal["cases", "pairs"]:
        """What it learns, once `cases` is settled."""
        return "cases" if self.cases == "all" else "pairs"

    @property
    def needs_reference(self) -> bool:
        """Whether the policy is compared with what it was."""
        return any(loss.needs_reference for loss in self.loss)

    @property
    def runs_reference(self) -> str:
        """Which loss, if any, runs the reference beside the policy in each step."""
        return next((loss.use for loss in self.loss if loss.runs_reference), "")

    @property
    def needs_forward_kl(self) -> bool:
        """Whether a loss asks also for the divergence of the reference from the policy."""
        return any(loss.needs_forward_kl for loss in self.loss)

    def count_pair(self, kind: PairKind, case: CaseKind) -> float:
        """Return what a pair of a kind, of a case of a kind, counts beside its weight; 0 where no loss is of it."""
        counts: float = getattr(self.pairs, kind) * getattr(self.pairs, case)
        return counts if any(loss.is_of(kind, case) for loss in self.loss) else 0.0

    @property
    def needs_bitsandbytes(self) -> str:
        """Which option, if any, cannot do without that package."""
        if self.quantize:
            return "quantize"
        return "optimizer" if self.optimizer.startswith("paged") or self.optimizer.endswith("8bit") else ""

    @model_validator(mode="after")
    def _method_fits(self) -> TrainOptions:
        if self.method == "full" and self.quantize:
            raise ValueError("method: full trains the model's own weights, which quantize would freeze; choose one")
        if self.quantize and self.launch and self.launch.strategy != "ddp":
            raise ValueError(
                f"quantize holds the whole model in each process, launch.strategy: {self.launch.strategy} divides it; "
                "choose one"
            )
        return self

    def explain_idle(self, processes: int) -> str:
        """Say what to set where a step has fewer pairs than there are processes to share it, or return ""."""
        step = self.batch_size * self.accumulate
        if step >= processes:
            return ""
        enough = -(-processes // self.batch_size)
        return (
            f"accumulate: a step of {step} pairs (batch_size {self.batch_size} x accumulate {self.accumulate}) has "
            f"none for {processes - step} of {processes} processes: set accumulate to {enough}, or train in at most "
            f"{step}"
        )

    @model_validator(mode="after")
    def _strategy_fits(self) -> TrainOptions:
        if self.launch and (idle := self.explain_idle(self.launch.processes or 1)):
            raise ValueError(idle)
        if self.launch and self.launch.strategy != "ddp" and (self.runs_reference or self.quantize):
            named = f"the loss {self.runs_reference!r}" if self.runs_reference else "quantize"
            raise ValueError(f"launch.strategy: {self.launch.strategy} does not go with {named}; ddp does")
        return self

    @field_validator("trl")
    @classmethod
    def _known_and_heeded(cls, value: dict[str, Any]) -> dict[str, Any]:
        mistakes = [mistake for name in value if (mistake := explain_refusal(name))]
        if mistakes:
            raise ValueError("; ".join(mistakes))
        return value


def explain_pairs(loss: Loss) -> str:
    """Say why a loss cannot learn a case that is in no pair, or return ""."""
    if loss.needs_rejected:
        return "needs the rejected side of a pair"
    if type(loss).further_sides is not Loss.further_sides:
        return "looks at further sides of a pair"
    return f"is of {loss.pairs} pairs" if loss.pairs != "all" else ""


def explain_refusal(name: str) -> str:
    """Say why a DPOConfig argument cannot be passed on, or return "" if it can."""
    for reason, names in REFUSED.items():
        if name in names:
            return f"{name!r} cannot be set here: {reason}"
    from dataclasses import fields

    from trl import DPOConfig  # seconds; not before a recipe asks for it

    known = {item.name for item in fields(DPOConfig)} - {name for names in REFUSED.values() for name in names}
    if name in known:
        return ""
    near = get_close_matches(name, sorted(known), n=1)
    return f"trl.DPOConfig has no argument {name!r}" + (f"; did you mean {near[0]!r}?" if near else "")
