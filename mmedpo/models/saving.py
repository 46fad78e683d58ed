"""Write a model where stock transformers loads it: all of it or nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmedpo.core.notes import print_note
from mmedpo.models.files.older_form import add_older_form, say_what_is_tied, set_release_names
from mmedpo.registry.contracts.backbone import Backbone, LiveBackbone
from mmedpo.registry.contracts.setting import Setting
from mmedpo.store.run_folder import write_folder_whole


def export_backbone(part: Backbone, out: Path, adapter: Path | None = None, dtype: str = "auto") -> None:
    """Write a backbone's model in plain transformers form, `adapter` (else its starting one) merged into it.

    It is in the dtype in which the base is stored, unless another is asked for: a 7B is not to grow on its way through.
    `out` appears only once everything in it is complete. Raises DataError, before anything is loaded, when it is a
    file or a folder that holds something.
    """
    chosen = part if adapter is None else part.model_copy(update={"adapter": str(adapter)})
    with write_folder_whole(out) as partial, chosen.open(Setting(dtype=dtype)) as live:
        own = _list_own_classes(live.model)
        _save_merged(live, partial)
    if own:
        print_note(f"{out}: transformers has no {', '.join(own)}, so only the backbone {part.use} opens this model")


def _list_own_classes(model: Any) -> list[str]:
    """Name the models within a model that stock transformers does not have."""
    from transformers import PreTrainedModel

    kinds = {type(module) for module in model.modules() if isinstance(module, PreTrainedModel)}
    return sorted(kind.__name__ for kind in kinds if not kind.__module__.startswith("transformers."))


def _save_merged(live: LiveBackbone, folder: Path) -> None:
    model = live.model
    if hasattr(model, "merge_and_unload"):
        model = model.merge_and_unload()  # LoRA into the layers, a trained projector in place of the old one
    _drop_contradictions(model)
    say_what_is_tied(model)
    set_release_names(model)
    model.save_pretrained(folder)
    live.tokenizer.save_pretrained(folder)
    if live.processor is not None:
        live.processor.save_pretrained(folder)
    add_older_form(folder)


def _drop_contradictions(model: object) -> None:
    """Keep only the end tokens of a generation config that transformers would load but refuse to save."""
    from transformers import GenerationConfig

    config = getattr(model, "generation_config", None)
    try:
        if config is not None:
            config.validate(strict=True)
    except ValueError:
        kept = {key: getattr(config, key) for key in ("bos_token_id", "eos_token_id", "pad_token_id")}
        model.generation_config = GenerationConfig(**kept)  # type: ignore[attr-defined]
