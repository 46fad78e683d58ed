"""The options of a training as TRL's own arguments."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import torch
from trl import DPOConfig

from mmedpo.core.records import seed_for
from mmedpo.errors import RecipeError
from mmedpo.recipe.train_options import TrainOptions
from mmedpo.registry.contracts.setting import Setting
from mmedpo.runtime.processes import get_world_size
from mmedpo.train.ranks.step_layout import share_steps
from mmedpo.train.ranks.strategy import shard_on_cpu

SCHEDULERS = {"constant": "constant_with_warmup"}  # ours -> TRL's, where they differ
OPTIMIZERS = {"adamw": "adamw_torch_fused", "paged_adamw": "paged_adamw_32bit"}


def trl_arguments(options: TrainOptions, folder: Path, setting: Setting) -> DPOConfig:
    """Translate the options into TRL's."""
    if setting.dtype == "float16" and not setting.device.startswith("cuda"):
        raise RecipeError(f"dtype: float16 cannot be trained on {setting.device}; use float32 or bfloat16")
    layout = share_steps(options, get_world_size())
    known = {field.name for field in fields(DPOConfig)}
    checkpointing = {"activation_checkpointing", "gradient_checkpointing"} & known  # the second is the older name
    args = DPOConfig(
        **{
            "output_dir": str(folder),
            "num_train_epochs": options.epochs,
            "learning_rate": options.learning_rate,
            "beta": options.beta,
            "per_device_train_batch_size": layout.size,
            "per_device_eval_batch_size": options.batch_size,
            "gradient_accumulation_steps": layout.rounds,
            "warmup_steps": options.warmup_ratio,
            "optim": OPTIMIZERS.get(options.optimizer, options.optimizer),
            "lr_scheduler_type": SCHEDULERS.get(options.scheduler, options.scheduler),
            "max_length": None,
            "disable_dropout": False,  # done by us, all but the adapter's
            "seed": seed_for(setting.seed, "train") % 2**32,
            "use_cpu": setting.device == "cpu",
            "bf16": setting.dtype == "bfloat16",
            "fp16": setting.dtype == "float16",
            "save_strategy": "steps",
            "save_steps": options.checkpoint_every,
            "logging_steps": 1,
            "logging_nan_inf_filter": False,
            "report_to": options.report_to or "none",
            "disable_tqdm": True,
            "remove_unused_columns": False,
            # Each process runs the whole model in every batch, save a tower's layers above the one that counts.
            "ddp_find_unused_parameters": options.vision_tower,
            "dataloader_pin_memory": setting.device.startswith("cuda"),
            **dict.fromkeys(checkpointing, options.gradient_checkpointing),
            **options.trl,
        }
    )
    shard_on_cpu()
    _pin_device(args, setting.device)
    return args


def _pin_device(args: DPOConfig, device: str) -> None:
    """Keep a single process on the recipe's GPU; the Trainer would take the first, and split batches over all."""
    if args.n_gpu >= 1 and args.world_size == 1 and device.startswith("cuda"):
        gpu = torch.device(device if ":" in device else "cuda:0")
        torch.cuda.set_device(gpu)
        args._n_gpu = 1
        vars(args)["_setup_devices"] = gpu  # where the cached property keeps its value
