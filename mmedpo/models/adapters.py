"""Adapters (PEFT folders) and the base model each belongs to."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from mmedpo.core.notes import print_note
from mmedpo.errors import DataError, first_line
from mmedpo.models.checkpoints import format_shape, public_name
from mmedpo.models.files.adapter_files import CONFIG, RECORD, WEIGHTS, AdapterFiles, read_json, read_record
from mmedpo.models.files.damage import require_finite
from mmedpo.models.files.llava_names import Adapter, has_llava_names, translate_adapter

MODEL = "config.json"  # of the model; LLaVA's training code leaves one beside an adapter
SETTINGS = (
    "image_aspect_ratio",
    "mm_vision_select_layer",
    "mm_vision_select_feature",
    "mm_patch_merge_type",
    "s2_scales",
)


@dataclass(frozen=True)
class BaseFingerprint:
    """Which model an adapter belongs to: its name or path as it was opened, and a few of its numbers."""

    name: str
    # One weight of each tensor in bfloat16, as hexadecimal: survives a move, a copy, a change of format. NaN for one
    # that is quantised, and no longer says what it was.
    values: str

    @classmethod
    def of(cls, model: Any) -> BaseFingerprint:
        """Describe a loaded model, leaving out any adapter on it."""
        import torch

        samples = [
            _sample_weight(name, parameter)
            for name, parameter in sorted(_plain_parameters(model).items())
            if parameter.numel()
        ]
        values = torch.stack(samples).view(torch.uint8).numpy().tobytes().hex() if samples else ""
        return cls(str(getattr(model, "name_or_path", "") or ""), values)

    def matches(self, other: BaseFingerprint) -> bool:
        """Tell whether both describe the same weights, whatever dtype they were loaded in."""
        if len(self.values) != len(other.values):
            return False
        mine, theirs = self._weights(), other._weights()
        # A detour through float16 may move a value by one step of bfloat16, at most 2^-7 of it.
        close = (mine - theirs).abs() <= theirs.abs() / 64 + 1e-7
        return bool((close | mine.isnan() | theirs.isnan()).all())

    def write(self, folder: Path) -> None:
        """Write the record beside an adapter; it does not tell where the model lies."""
        record = {**asdict(self), "name": public_name(self.name)}
        (folder / RECORD).write_text(json.dumps(record, indent=1) + "\n")

    def _weights(self) -> Any:
        import torch

        return torch.frombuffer(bytearray.fromhex(self.values), dtype=torch.bfloat16).float()


def load_adapter(model: Any, folder: str | Path) -> Any:
    """Return the model with an adapter on it, which goes on to be trainable: PEFT's, or one with LLaVA's names.

    Raises DataError when the adapter was made for another model. What it was made for is known from the record
    that `BaseFingerprint.write` left beside it, else from the name that PEFT wrote into `adapter_config.json`; one with
    LLaVA's names mostly names somebody else's path, so every layer, name and size has to fit, and the name is told.
    """
    return _put_on(model, *_read_adapter(model, Path(folder)))


def rewrite_adapter(model: Any, folder: str | Path, out: Path, dtype: str = "auto") -> None:
    """Write an adapter of a loaded model as stock PEFT reads it, with a record of its base.

    Its numbers stay what they are, unless another dtype is asked for.
    """
    import torch
    from safetensors.torch import save_file

    files, adapter = _read_adapter(model, Path(folder))
    base = BaseFingerprint.of(model)
    wrapped = _put_on(model, files, adapter)
    wrapped.peft_config["default"].save_pretrained(out)
    kind = None if dtype == "auto" else getattr(torch, dtype)
    tensors = {name: tensor.to(kind or tensor.dtype).contiguous().clone() for name, tensor in adapter.tensors.items()}
    save_file(tensors, out / WEIGHTS[0], metadata={"format": "pt"})
    base.write(out)


def load_adapter_weights(model: Any, folder: str | Path) -> None:
    """Put the weights of an adapter into the one on a model, of the same shape. Raises DataError for another."""
    from peft import set_peft_model_state_dict

    tensors = _join_tensors(AdapterFiles.read(Path(folder)))
    require_finite(str(folder), iter(tensors.items()))
    if unmatched := _unmatched_tensors(model, set(tensors)):
        detail = f"{len(unmatched)} tensors, the first is {min(unmatched)}"
        raise DataError(f"{folder}: this adapter is of another shape than the one that trains ({detail})")
    set_peft_model_state_dict(model, tensors)


def unwrap_model(model: Any) -> Any:
    """Return a model without the adapter on it."""
    return model.get_base_model() if hasattr(model, "peft_config") and hasattr(model, "get_base_model") else model


def hide_base_path(folder: Path) -> None:
    """Write into an adapter's folder the name of its base without the path.

    PEFT's own configuration has the path while the adapter is at home: transformers finds the base by it.
    """
    config, record = read_json(folder / CONFIG), read_record(folder)
    name = public_name(str(record.get("name") or config.get("base_model_name_or_path") or ""))
    (folder / CONFIG).write_text(json.dumps({**config, "base_model_name_or_path": name or None}, indent=2))
    if record:
        BaseFingerprint(name, record["values"]).write(folder)


def _read_adapter(model: Any, folder: Path) -> tuple[AdapterFiles, Adapter]:
    """Read what is to be put on a model, in its names. Raises DataError for what was made for another."""
    files = AdapterFiles.read(folder)
    recorded, base = _recorded_base(files), BaseFingerprint.of(model)
    foreign = has_llava_names(files, model)
    if not _fits_base(recorded, base):
        if recorded.values or not foreign:
            raise _mismatch_error(folder, recorded.name, base.name)
        _tell_once(f"note: {folder}: says that it was made for {recorded.name}, and is put on {base.name}")
    if not foreign:
        return files, Adapter(files.config, _join_tensors(files))
    if (folder / MODEL).exists() and (Path(base.name) / MODEL).exists():
        _tell_settings(folder / MODEL, Path(base.name) / MODEL)
    return files, translate_adapter(files, model)


def _put_on(model: Any, files: AdapterFiles, adapter: Adapter) -> Any:
    """Wrap a model. Raises DataError unless every tensor of the adapter, and every one that it needs, is taken."""
    import torch
    from peft import PeftConfig, get_peft_model, set_peft_model_state_dict

    recorded, base = _recorded_base(files).name, str(getattr(model, "name_or_path", "") or "")
    try:
        with warnings.catch_warnings():  # of another name of the base, which was looked at
            warnings.simplefilter("ignore")
            config = PeftConfig.from_peft_type(**{**adapter.config, "inference_mode": False})
            _tell_unknown(files.folder, adapter.config, config)
            wrapped = get_peft_model(model, config)
            _require_shapes(files.folder, adapter, wrapped)
            require_finite(str(files.folder), iter(adapter.tensors.items()))
            set_peft_model_state_dict(wrapped, dict(adapter.tensors))
    except (torch.OutOfMemoryError, torch.AcceleratorError, MemoryError, DataError):
        raise
    except Exception as error:  # other shapes, other modules, options that PEFT does not know
        raise _mismatch_error(files.folder, recorded, base, first_line(error)) from error
    if unmatched := _unmatched_tensors(wrapped, set(adapter.tensors)):
        detail = f"{len(unmatched)} tensors, the first is {min(unmatched)}"
        raise _mismatch_error(files.folder, recorded, base, detail)
    return wrapped.eval()


def _tell_unknown(folder: Path, said: Mapping[str, Any], config: Any) -> None:
    """Say which options, of another version of PEFT, count for nothing here."""
    if unknown := ", ".join(sorted(key for key, value in said.items() if value and not hasattr(config, key))):
        _tell_once(f"note: {folder / CONFIG}: has options that this PEFT does not know and passes over: {unknown}")


def _tell_settings(theirs: Path, base: Path) -> None:
    """Say what the model that an adapter was trained with did otherwise; LLaVA's code would do as that did."""
    trained, opened = read_json(theirs), read_json(base)
    for name in SETTINGS:
        if name in trained and name in opened and trained[name] != opened[name]:
            _tell_once(f"note: {theirs}: says {name}: {trained[name]}; what counts is the base's, {opened[name]}")


@lru_cache
def _tell_once(note: str) -> None:
    print_note(note)  # once, however often it is opened


def _recorded_base(files: AdapterFiles) -> BaseFingerprint:
    """Return which base an adapter names; its values are "" when nothing recorded them."""
    name = files.config.get("base_model_name_or_path") or files.record.get("name") or ""  # the first may have the path
    return BaseFingerprint(str(name), str(files.record.get("values") or ""))


def _fits_base(recorded: BaseFingerprint, base: BaseFingerprint) -> bool:
    """Weights decide where they were recorded; else the names, of which the last part survives a move."""
    if recorded.values:
        return recorded.matches(base)
    return not recorded.name or Path(recorded.name).name == Path(base.name).name


def _mismatch_error(folder: Path, recorded: str, base: str, why: str = "") -> DataError:
    detail = f" ({why})" if why else ""
    return DataError(
        f"{folder}: this adapter was made for {recorded or 'a model it does not name'} and does not fit "
        f"{base or 'this model'}{detail}; load the checkpoint it was made for, or leave the adapter out"
    )


def _join_tensors(files: AdapterFiles) -> dict[str, Any]:
    """Return the tensors of all files; what is beside PEFT's own is LLaVA's, and has its names."""
    return {name: tensor for tensors in files.tensors.values() for name, tensor in tensors.items()}


def _require_shapes(folder: Path, adapter: Adapter, wrapped: Any) -> None:
    """Require that what had other names fits to the last tensor, and say by those where it does not."""
    from peft import get_peft_model_state_dict

    if not adapter.origins:
        return
    wanted = get_peft_model_state_dict(wrapped, save_embedding_layers=False)
    for name, origin in adapter.origins.items():
        if name not in wanted:
            raise DataError(f"{origin}: has no place in this model")
        has, takes = adapter.tensors[name].shape, wanted[name].shape
        if has != takes:
            raise DataError(f"{origin}: is {format_shape(has)}, and this model takes {format_shape(takes)}")
    if missing := sorted(set(wanted) - set(adapter.tensors)):
        raise DataError(
            f"{folder}: lacks {missing[0].removeprefix('base_model.model.')} ({len(missing)} tensors in all)"
        )


def _unmatched_tensors(wrapped: Any, tensors: set[str]) -> set[str]:
    """Name the tensors that have no place in the model, or no value in the file; PEFT itself passes over both."""
    from peft import get_peft_model_state_dict

    in_model = set(get_peft_model_state_dict(wrapped, save_embedding_layers=False))
    return (in_model - tensors) | {name for name in tensors - in_model if "lora_" in name}


def _sample_weight(name: str, parameter: Any) -> Any:
    import torch

    if not parameter.is_floating_point():
        return torch.tensor(torch.nan, dtype=torch.bfloat16)
    return parameter.detach().reshape(-1)[_pick_index(name, parameter.numel())].to("cpu", torch.bfloat16)


def _pick_index(name: str, count: int) -> int:
    """Choose which number of a tensor to note: any, but always the same."""
    return int(sha256(name.encode()).hexdigest()[:15], 16) % count


def _plain_parameters(model: Any) -> dict[str, Any]:
    """Return the parameters under the names they had before PEFT wrapped the model, without what it added."""
    plain = {}
    for name, parameter in model.named_parameters():
        if "lora_" in name or ".modules_to_save." in name:
            continue
        name = name.removeprefix("base_model.model.")
        plain[name.replace(".base_layer.", ".").replace(".original_module.", ".")] = parameter
    return plain
