"""What lies in an adapter's folder: its configuration, its tensors file by file, and which base it was made for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmedpo.errors import DataError, first_line
from mmedpo.models.files.damage import require_whole
from mmedpo.models.files.pickled_tensors import read_pickled

CONFIG = "adapter_config.json"
WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
BESIDE = ("non_lora_trainables.bin", "mm_projector.bin")  # what LLaVA's code trained whole
RECORD = "base.json"  # beside it, since stock PEFT must go on to understand the configuration
# Kinds that are weights and nothing else; others name a tokenizer, a model, further adapters, to be opened with them.
KINDS = ("LORA", "ADALORA", "LOHA", "LOKR", "IA3", "OFT", "BOFT", "VERA", "HRA", "FOURIERFT", "LN_TUNING")


@dataclass(frozen=True)
class AdapterFiles:
    """An adapter as it lies in its folder."""

    folder: Path
    config: Mapping[str, Any]
    record: Mapping[str, Any]  # of its base; empty where nothing noted it
    tensors: Mapping[Path, Mapping[str, Any]]  # by file

    @classmethod
    def read(cls, folder: Path) -> AdapterFiles:
        """Read a folder. Raises DataError for one that is no adapter, and for files that are damaged."""
        files = [folder / name for name in (*WEIGHTS, *BESIDE) if (folder / name).exists()]
        if folder / WEIGHTS[0] in files and folder / WEIGHTS[1] in files:
            files.remove(folder / WEIGHTS[1])  # the same once more
        for file in (folder / CONFIG, folder / RECORD, *files):
            require_whole(file)
        alone = [file.name for file in files] == [BESIDE[1]]  # LLaVA's pretraining leaves a projector and no more
        config = {} if alone and not (folder / CONFIG).exists() else read_json(folder / CONFIG)
        if not files:
            raise DataError(f"{folder}: holds an {CONFIG} but no {WEIGHTS[0]}")
        _require_weights_alone(folder, config)
        tensors = {file: read_tensors(file) for file in files}
        _require_ranks(folder, config, tensors)
        return cls(folder, config, read_record(folder), tensors)


def _require_weights_alone(folder: Path, config: Mapping[str, Any]) -> None:
    """Raise DataError for a configuration that names code, or more to open than its own weights."""
    kind = config.get("peft_type", "LORA")
    if kind not in KINDS:
        raise DataError(f"{folder / CONFIG}: is of kind {kind}, which is not opened; {', '.join(KINDS)} are")
    if config.get("megatron_config"):
        raise DataError(f"{folder / CONFIG}: is for Megatron's layers, whose code it names; it is not opened")


def _require_ranks(folder: Path, config: Mapping[str, Any], files: Mapping[Path, Mapping[str, Any]]) -> None:
    """Raise DataError for a rank above all of the tensors': so much memory would be taken before they were put in."""
    held = [tensor.shape[0] for tensors in files.values() for name, tensor in tensors.items() if "lora_A" in name]
    patterns = config.get("rank_pattern")
    said = [config.get("r"), *(patterns.values() if isinstance(patterns, dict) else ())]
    largest = max((rank for rank in said if isinstance(rank, int)), default=0)
    if held and largest > 2 * max(held):  # of AdaLoRA, what is left of a rank
        raise DataError(f"{folder / CONFIG}: says rank {largest:,}, but its tensors have at most {max(held):,}")


def read_tensors(file: Path) -> dict[str, Any]:
    """Return the tensors of a file by their names; nothing of it is run. Raises DataError when it holds others."""
    tensors = _load(file)
    if not isinstance(tensors, dict):
        raise DataError(f"{file}: holds no table of tensors")
    for name, tensor in tensors.items():
        if not _is_plain(tensor):
            raise DataError(f"{file}: {name} is no plain tensor")
    return {str(name): tensor.detach() for name, tensor in tensors.items()}


def read_record(folder: Path) -> dict[str, Any]:
    """Return what an adapter's folder notes of its base; nothing where it does not."""
    return read_json(folder / RECORD) if (folder / RECORD).exists() else {}


def read_json(path: Path) -> dict[str, Any]:
    """Return a JSON object of an adapter's folder. Raises DataError."""
    try:
        value = json.loads(path.read_text())
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file, so {path.parent} is no PEFT adapter") from None
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: cannot be read ({error})") from error
    if not isinstance(value, dict):
        raise DataError(f"{path}: holds no JSON object")
    return value


def _load(file: Path) -> Any:
    if file.suffix == ".safetensors":
        from safetensors.torch import load_file

        try:
            return load_file(file)
        except Exception as error:  # whatever a broken file makes safetensors stumble over
            raise DataError(f"{file}: its weights cannot be read ({first_line(error)})") from error
    return read_pickled(file)


def _is_plain(tensor: Any) -> bool:
    """Tell whether a value is a tensor whose numbers are all in its file, not one number said to be a billion."""
    import torch

    if not isinstance(tensor, torch.Tensor) or tensor.layout != torch.strided or tensor.device.type != "cpu":
        return False
    return tensor.nbytes <= tensor.untyped_storage().nbytes()
