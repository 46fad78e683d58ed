"""Adapters (PEFT folders) and the base model each belongs to."""

from __future__ import annotations

import json
import re
import warnings
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from mmedpo.errors import DataError, first_line
from mmedpo.models.checkpoints import public_name
from mmedpo.models.damage import require_finite, require_whole

WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
CONFIG = "adapter_config.json"
LLAVA = re.compile(r"base_model\.model\.model\.(layers\.\d|mm_projector)")
RECORD = "base.json"  # beside it, since stock PEFT must go on to understand the configuration


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
    """Return the model with a PEFT adapter on it, which goes on to be trainable.

    Raises DataError when the adapter was made for another model. What it was made for is known from the record
    that `BaseFingerprint.write` left beside it, else from the name that PEFT wrote into `adapter_config.json`.
    """
    import torch
    from peft import PeftModel

    folder = Path(folder)
    base = BaseFingerprint.of(model)
    recorded = _read_base(folder)
    if not _fits_base(recorded, base):
        raise _mismatch_error(folder, recorded.name, base.name)
    tensors = _read_tensors(folder)
    require_finite(str(folder), iter(tensors.items()))
    try:
        with warnings.catch_warnings():  # of tensors that are left over, which is an error below
            warnings.simplefilter("ignore")
            wrapped = PeftModel.from_pretrained(model, str(folder), is_trainable=True)
    except (torch.OutOfMemoryError, torch.AcceleratorError, MemoryError):
        raise
    except Exception as error:  # other shapes, other modules, options that PEFT does not know
        raise _mismatch_error(folder, recorded.name, base.name, first_line(error)) from error
    if unmatched := _unmatched_tensors(wrapped, set(tensors)):
        detail = f"{len(unmatched)} tensors, the first is {min(unmatched)}"
        raise _mismatch_error(folder, recorded.name, base.name, detail)
    return wrapped.eval()


def load_adapter_weights(model: Any, folder: str | Path) -> None:
    """Put the weights of an adapter into the one on a model, of the same shape. Raises DataError for another."""
    from peft import set_peft_model_state_dict

    tensors = _read_tensors(Path(folder))
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
    config, record = _read_json(folder / CONFIG), _record(folder)
    name = public_name(str(record.get("name") or config.get("base_model_name_or_path") or ""))
    (folder / CONFIG).write_text(json.dumps({**config, "base_model_name_or_path": name or None}, indent=2))
    if record:
        BaseFingerprint(name, record["values"]).write(folder)


def _read_base(folder: Path) -> BaseFingerprint:
    """Read which base an adapter names; its values are "" when nothing recorded them. Raises DataError."""
    for name in (CONFIG, RECORD, next((name for name in WEIGHTS if (folder / name).exists()), WEIGHTS[0])):
        require_whole(folder / name)
    config = _read_json(folder / CONFIG)
    if not any((folder / name).exists() for name in WEIGHTS):
        raise DataError(f"{folder}: holds an {CONFIG} but no {WEIGHTS[0]}")
    record = _record(folder)
    name = config.get("base_model_name_or_path") or record.get("name") or ""  # the first may still have the path
    return BaseFingerprint(str(name), str(record.get("values") or ""))


def _record(folder: Path) -> dict[str, Any]:
    return _read_json(folder / RECORD) if (folder / RECORD).exists() else {}


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text())
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file, so {path.parent} is no PEFT adapter") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error})") from error
    if not isinstance(value, dict):
        raise DataError(f"{path}: holds no JSON object")
    return value


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


def _read_tensors(folder: Path) -> dict[str, Any]:
    """Return the tensors of an adapter's file. Raises DataError when it cannot be read."""
    from peft.utils import load_peft_weights

    try:
        tensors: dict[str, Any] = load_peft_weights(str(folder), device="cpu")
    except Exception as error:  # whatever a broken file makes torch or safetensors stumble over
        raise DataError(f"{folder}: its weights cannot be read ({first_line(error)})") from error
    if any(LLAVA.match(name) for name in tensors):
        raise DataError(
            f"{folder}: its tensors have the names that LLaVA's own code gives them (model.layers.0...); merge it into "
            f"its base with that code (scripts/merge_lora_weights.py), and give the merged folder as checkpoint"
        )
    return tensors


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
