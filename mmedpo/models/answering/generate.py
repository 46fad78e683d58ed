"""Answers by transformers' `generate`, a row each: for models that token trees are not for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from mmedpo.models.answering.noise import SeededNoise
from mmedpo.models.prompts import EncodedPrompt


def generate_rows(
    model: Any,
    prompts: Sequence[EncodedPrompt],
    vision: Mapping[str, Tensor],
    types_key: str,
    pad: int,
    longest: int,
    stop: Sequence[int],
    noise: SeededNoise | None,
) -> list[list[int]]:
    """Return the tokens of each prompt's answer; `vision` is that of all prompts in their order."""
    inputs = {**vision, **pad_prompts(prompts, types_key, pad)}
    out = model.generate(
        **{key: value.to(model.device) for key, value in inputs.items()},
        generation_config=_bare_config(longest, stop, pad),
        logits_processor=[noise] if noise else [],
    )
    return [_until_stop(row, stop) for row in out[:, inputs["input_ids"].shape[1] :].tolist()]


def _bare_config(longest: int, stop: Sequence[int], pad: int) -> Any:
    """Decode with the bare distribution: a checkpoint's own penalties would not be those of its training."""
    from transformers import GenerationConfig

    return GenerationConfig(
        max_new_tokens=longest,
        do_sample=False,  # sampling adds noise to the logits and takes the best, see SeededNoise
        num_beams=1,
        repetition_penalty=1.0,
        eos_token_id=list(stop),
        pad_token_id=pad,
    )


def pad_prompts(prompts: Sequence[EncodedPrompt], types_key: str, pad: int) -> dict[str, Tensor]:
    """Pad on the left, so that every answer begins at the same place."""
    width = max(len(prompt.ids) for prompt in prompts)

    def padded(rows: Sequence[Sequence[int]], fill: int) -> Tensor:
        return torch.tensor([[fill] * (width - len(row)) + list(row) for row in rows])

    inputs = {
        "input_ids": padded([prompt.ids for prompt in prompts], pad),
        "attention_mask": padded([[1] * len(prompt.ids) for prompt in prompts], 0),
    }
    types = [prompt.token_types for prompt in prompts if prompt.token_types is not None]
    return inputs | ({types_key: padded(types, 0)} if types else {})


def _until_stop(tokens: list[int], stop: Sequence[int]) -> list[int]:
    """Cut off what fills up a row that ended before the others."""
    ends = [at for at, token in enumerate(tokens) if token in stop]
    return tokens[: ends[0] + 1] if ends else tokens
