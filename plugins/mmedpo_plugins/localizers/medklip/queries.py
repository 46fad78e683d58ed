"""What MedKLIP is asked for: its observations, as sentences that explain them or as numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmedpo import DataError, Setting, first_line
from mmedpo.data import json_value
from mmedpo.models import require_finite, require_whole
from mmedpo_plugins.localizers.medklip.network import WORDS


@dataclass(frozen=True)
class QueryTable:
    """All observations, and what they are in numbers."""

    names: tuple[str, ...]
    words: Tensor  # (observations, 768)

    def find(self, name: str) -> int:
        """Return an observation's place. Raises DataError for one that is not there."""
        if name in self.names:
            return self.names.index(name)
        near = get_close_matches(name, self.names, 3) or self.names[:3]
        raise DataError(f"localize.query: there is no observation {name!r} among {len(self.names)}; {', '.join(near)}?")


def read_queries(file: Path, text_model: Path | None, setting: Setting) -> QueryTable:
    """Read the table: sentences in JSON, for the text model, or the numbers in safetensors. Raises DataError."""
    if text_model:
        from mmedpo_plugins.localizers.medklip.sentences import embed_sentences

        sentences = _read_sentences(file)
        return QueryTable(tuple(sentences), embed_sentences(list(sentences.values()), text_model, setting))
    require_whole(file)
    numbers = _read_numbers(file)
    if not numbers or any(value.shape != (WORDS,) for value in numbers.values()):
        raise DataError(f"{file}: wants {WORDS} numbers for each observation, by its name")
    require_finite(str(file), iter(numbers.items()))
    return QueryTable(tuple(numbers), torch.stack(list(numbers.values())).float().to(setting.device))


def _read_numbers(file: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    try:
        return load_file(file)
    except Exception as error:  # whatever a file that is none makes safetensors stumble over
        raise DataError(f"{file}: is no safetensors file ({first_line(error)})") from error


def _read_sentences(file: Path) -> Mapping[str, str]:
    told: Any = json_value(file)
    if not isinstance(told, dict) or not told or not all(isinstance(one, str) and one.strip() for one in told.values()):
        raise DataError(f"{file}: wants a JSON object, the sentence that explains each observation by its name")
    return told
