"""Check the answers and encodings of a backbone, and what it says of an image's tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmedpo.core import json_values
from mmedpo.core.answers import Answer, was_cut
from mmedpo.core.records import Case
from mmedpo.registry.conformance.values import check_length, check_plain
from mmedpo.registry.plugin_info import PluginInfo


def check_answers(plugin: PluginInfo, cases: Sequence[Case], answers: Any) -> list[Answer]:
    """Require a text of each case; an empty one, or half a character in it, is the model's doing, not the part's."""
    check_length(plugin, "answer", answers, len(cases))
    texts = [
        check_plain(plugin, f"answer to case {case.id!r}", json_values.require_answer, answer)
        for case, answer in zip(cases, answers, strict=True)
    ]
    return [Answer(text, was_cut(said)) for text, said in zip(texts, answers, strict=True)]


def check_encoding(encoding: Any) -> None:
    """Require token ids with an answer in them. Raises ValueError: what encodes is blamed where it is called."""
    import numpy as np

    ids, start = np.asarray(encoding.ids), encoding.answer_start
    if ids.ndim != 1 or ids.dtype.kind not in "iu" or (ids < 0).any():
        raise ValueError(f"encode gave {json_values.describe_value(encoding.ids)} for ids, not a list of token ids")
    if not (isinstance(start, int) and 0 < start < len(ids)):
        raise ValueError(f"encode gave answer_start {json_values.describe_value(start)} of {len(ids)} token ids")
    vision = encoding.vision
    if not (isinstance(vision, list | tuple) and vision and all(isinstance(tensors, Mapping) for tensors in vision)):
        told = json_values.describe_value(vision)
        raise ValueError(f"encode gave {told} for vision, not a list with a mapping of names to tensors for each image")
    if encoding.images and len(encoding.images) != len(vision):
        raise ValueError(f"encode gave {len(encoding.images)} names for {len(vision)} images")


def check_places(places: Any) -> None:
    """Require tokens that are each in one grid at most, and what these see. Raises ValueError."""
    import numpy as np

    grids = [(np.asarray(grid.tokens), np.asarray(grid.frame, float)) for grid in places.grids]
    if any(tokens.ndim != 2 or tokens.dtype.kind not in "iu" for tokens, _ in grids):
        raise ValueError("token_places gave a grid that is not rows and columns of indices of tokens")
    seen = np.concatenate([np.zeros(0, int), *(tokens.ravel() for tokens, _ in grids)])
    if len(set(seen.tolist())) < len(seen) or (seen < 0).any() or (seen >= places.count).any():
        raise ValueError(f"token_places gave grids that are not each of the {places.count} tokens once at most")
    for _, frame in grids:
        if frame.shape != (4,) or not np.isfinite(frame).all() or not (frame[:2] < frame[2:]).all():
            raise ValueError(f"token_places gave {json_values.describe_value(frame.tolist())} for what a grid sees")
