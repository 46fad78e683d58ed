"""The adapter that is trained: put on a backbone's model, taken off again, written as a plain PEFT folder."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from mmedpo.core.machine.disk import guard_writes
from mmedpo.core.records import seed_for
from mmedpo.models.adapters import BaseFingerprint
from mmedpo.recipe.train_options import TrainOptions
from mmedpo.registry.contracts.backbone import LiveBackbone
from mmedpo.train.adapter_config import adopt_config, make_config
from mmedpo.train.resume import flush_folder


@contextmanager
def attach_adapter(backbone: LiveBackbone, options: TrainOptions, seed: int) -> Iterator[Any]:
    """Yield the backbone's model as a PeftModel with one trainable adapter, "default"; then put it back as it was.

    A backbone that was opened with an adapter (its model is a PeftModel) goes on from that adapter.
    """
    from peft import PeftModel

    opened, training = backbone.model, backbone.model.training
    has_adapter = isinstance(opened, PeftModel)
    start_config = copy.deepcopy(opened.peft_config["default"]) if has_adapter else None
    start_state = _adapter_state(opened) if has_adapter else None
    config = adopt_config(start_config, backbone, options) if has_adapter else make_config(backbone, options)
    base = _unload_adapter(opened) if has_adapter else opened
    with _keep_settings(base, backbone.tokenizer):
        model = _wrap_model(base, config, start_state, seed)
        _disable_other_dropout(model)
        try:
            yield model
        finally:
            base = _unload_adapter(model)
            if options.gradient_checkpointing:
                base.gradient_checkpointing_disable()
                base.disable_input_require_grads()
            if start_config is not None:
                base = _wrap_model(base, start_config, start_state, seed)
            backbone.model = base.train(training)


def _wrap_model(base: Any, config: Any, state: dict[str, Any] | None, seed: int) -> Any:
    """Put an adapter on a model: a fresh one that changes nothing, or one that was trained before."""
    from peft import get_peft_model, set_peft_model_state_dict

    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(seed_for(seed, "lora"))
        model = get_peft_model(base, config)
    if state is not None:  # a projector that did not train before starts from the model's own
        set_peft_model_state_dict(model, {**_adapter_state(model), **state})
    train_in_float32(model)
    return model


def train_in_float32(model: Any) -> None:
    """Turn the weights that train into float32: small steps vanish in 16 bits."""
    for parameter in model.parameters():
        if parameter.requires_grad and parameter.dtype in (torch.float16, torch.bfloat16):
            parameter.data = parameter.data.float()


def _unload_adapter(model: Any) -> Any:
    """Take the adapter off and return the model below, with its own projector."""
    from peft.utils import ModulesToSaveWrapper

    for module in list(model.modules()):
        if isinstance(module, ModulesToSaveWrapper):
            module.modules_to_save["default"] = module.original_module  # else unload() leaves the trained one
    return model.unload()


def _adapter_state(model: Any) -> dict[str, Any]:
    from peft import get_peft_model_state_dict

    return {name: tensor.detach().clone() for name, tensor in get_peft_model_state_dict(model).items()}


def _disable_other_dropout(model: Any) -> None:
    """Switch off every dropout but the adapter's own."""
    for name, module in model.named_modules():
        if "lora_dropout" in name:
            continue
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        for field in ("attention_dropout", "dropout", "activation_dropout"):  # applied as functions by attention layers
            if isinstance(getattr(module, field, None), float):
                setattr(module, field, 0.0)


@contextmanager
def _keep_settings(model: Any, tokenizer: Any) -> Iterator[None]:
    """Undo what trainers write into the configurations of model and tokenizer: padding, caching, end tokens."""
    configs = [model.config, model.config.get_text_config(), model.generation_config]
    settings = [dict(vars(config)) for config in configs]
    pad_token = tokenizer.pad_token
    try:
        yield
    finally:
        tokenizer.pad_token = pad_token
        for config, values in zip(configs, settings, strict=True):
            vars(config).clear()
            vars(config).update(values)


def copy_trained_weights(model: Any) -> dict[str, torch.Tensor]:
    """Return copies of the weights that training changes; small, as an adapter is."""
    weights = model.named_parameters()
    return {name: weight.detach().clone() for name, weight in weights if weight.requires_grad}


@contextmanager
def swap_weights(model: Any, weights: Mapping[str, torch.Tensor]) -> Iterator[None]:
    """Put weights in place of the model's own, in eval mode, and these back."""
    own: dict[str, torch.Tensor] = {}
    for name, weight in model.named_parameters():
        if name in weights:
            own[name], weight.data = weight.data, weights[name]
    training = model.training
    model.eval()  # a reference knows no dropout
    try:
        yield
    finally:
        model.train(training)
        for name, weight in model.named_parameters():
            if name in own:
                weight.data = own[name]


def save_adapter(model: Any, folder: Path, base: BaseFingerprint, state: dict[str, Any] | None = None) -> None:
    """Write the adapter as stock PEFT reads it, and which base it belongs to; `state` where the model is divided."""
    model.save_pretrained(folder, state_dict=state, selected_adapters=["default"], save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)  # an empty form
    base.write(folder)


def publish_adapter(model: Any, folder: Path, base: BaseFingerprint, state: dict[str, Any] | None = None) -> None:
    """Write the adapter beside its place and rename it, so that it is there whole or not at all."""
    partial = folder.with_name(f".{folder.name}.writing")
    shutil.rmtree(partial, ignore_errors=True)
    with guard_writes(folder):
        try:
            save_adapter(model, partial, base, state)
            flush_folder(partial)
            shutil.rmtree(folder, ignore_errors=True)
            partial.rename(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
