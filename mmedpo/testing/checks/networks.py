"""Checks of what training sees of a backbone: encodings, image tokens, and a model that agrees with its answers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from mmedpo.core.records import Case
from mmedpo.errors import DataError
from mmedpo.registry.conformance.backbone import check_encoding, check_places
from mmedpo.registry.contracts.backbone import Encoding, LiveBackbone
from mmedpo.testing.checks.backbones import require_live
from mmedpo.testing.checks.check import Check, SkippedCheck, Trial
from mmedpo.testing.tiny import tiny_cases

LONGEST = 6  # tokens that are decoded by hand
CLOSE = 1e-3  # of log-probabilities in float32
SIZES = ((56, 56), (40, 90), (91, 33))


def _open_model(trial: Trial) -> LiveBackbone:
    """Return the open backbone, which has a model; skip the check for one that only answers."""
    live = require_live(trial)
    if getattr(live, "model", None) is None:
        raise SkippedCheck("it has no `model`, so that a run can ask it and not train it")
    return live


def _encode(live: LiveBackbone, case: Case, answer: str | None = None) -> Encoding:
    encoding = live.encode(case.images, case.question, case.answer if answer is None else answer)
    check_encoding(encoding)
    return encoding


def _check_encoding(trial: Trial) -> None:
    live = require_live(trial)
    for case in tiny_cases(2):
        one, other = _encode(live, case, "Yes"), _encode(live, case, "No, there is none.")
        if list(one.ids[: one.answer_start]) != list(other.ids[: other.answer_start]):
            told = "`encode` gives other ids before the answer where the answer is another"
            raise trial.make_breach(f"{told}; `answer_start` is where the answer's first token stands")


def _check_places(trial: Trial) -> None:
    live = require_live(trial)
    if (places := live.token_places(SIZES[0])) is None:
        raise SkippedCheck("it does not say what its image tokens see")
    for size in SIZES:
        check_places(live.token_places(size))
    count = _count_image_tokens(live, _encode(live, tiny_cases(1)[0]))
    if count and count != places.count:
        raise trial.make_breach(f"token_places tells of {places.count} tokens, and `encode` gives {count} for an image")


def _count_image_tokens(live: LiveBackbone, encoding: Encoding) -> int:
    """Return how many tokens stand for images; 0 where the model does not show which."""
    from mmedpo.models.adapters import unwrap_model
    from mmedpo.models.attention.image_tokens import find_image_tokens

    try:
        return len(find_image_tokens(unwrap_model(live.model), encoding.ids))
    except (AttributeError, DataError):
        return 0


def _read_logits(live: LiveBackbone, encodings: Sequence[Encoding]) -> Any:
    """Return the logits (sides, tokens, vocabulary) of sides that are padded on the right, in float32."""
    import torch

    model, pad = live.model, getattr(live.tokenizer, "pad_token_id", None) or 0
    longest = max(len(one.ids) for one in encodings)

    def stack(rows: list[list[int]], fill: int) -> Any:
        return torch.tensor([[*row, *[fill] * (longest - len(row))] for row in rows], device=model.device)

    inputs = {
        "input_ids": stack([list(one.ids) for one in encodings], pad),
        "attention_mask": stack([[1] * len(one.ids) for one in encodings], 0),
    }
    types = [list(one.token_types) for one in encodings if one.token_types is not None]
    if types:
        inputs[live.types_key] = stack(types, 0)
    vision = live.collate([tensors for one in encodings for tensors in one.vision])
    vision = {name: value.to(model.device) for name, value in vision.items()}
    with torch.no_grad():
        return model(**inputs, **vision, use_cache=False).logits.float()


def _check_forward(trial: Trial) -> None:
    live = _open_model(trial)
    encoding = _encode(live, tiny_cases(1)[0])
    try:
        logits = _read_logits(live, [encoding])
    except Exception as error:
        count = _count_image_tokens(live, encoding)
        told = f"its model cannot read what `encode` gives: {type(error).__name__}: {error}"
        hint = f"; `encode` put {count} tokens in the place of an image" if count else ""
        raise trial.make_breach(f"{told}{hint}; they must be as many as the model makes of it") from error
    if not logits.isfinite().all():
        raise trial.make_breach("its model gives logits that are not finite; load its weights in float32 and look")
    if logits.shape[:2] != (1, len(encoding.ids)):
        shape = tuple(logits.shape)
        raise trial.make_breach(f"its model gives logits of shape {shape} for {len(encoding.ids)} tokens of one side")


def _check_agreement(trial: Trial) -> None:
    """Grow answers from the ids of `encode` with the model alone, and hold the greedy ones to them.

    Both questions are about one film, so that a backbone that reads it once for both is found out too.
    """
    live = _open_model(trial)
    first = tiny_cases(1)[0]
    cases = [first, replace(first, id="tiny-other", question="Where is the nodule?", kind="open")]
    for case, answer in zip(cases, live.answer(cases, max_new_tokens=LONGEST), strict=True):
        grown, said = _grow_answer(live, case), str(answer).strip()
        if not (grown.startswith(said) or said.startswith(grown)):
            told = f"`answer` said {said!r:.60} of case {case.id!r}, and the likeliest answer after the ids of `encode`"
            raise trial.make_breach(f"{told} is {grown!r:.60}; both must show the model the same prompt and image")


def _grow_answer(live: LiveBackbone, case: Case) -> str:
    whole = _encode(live, case)
    ids, end, grown = list(whole.ids[: whole.answer_start]), whole.ids[-1], list[int]()
    types = None if whole.token_types is None else list(whole.token_types[: whole.answer_start])
    while len(grown) < LONGEST and (not grown or grown[-1] != end):
        longer = None if types is None else [*types, *[0] * len(grown)]
        logits = _read_logits(live, [Encoding([*ids, *grown], len(ids), whole.vision, whole.images, longer)])
        grown.append(int(logits[0, -1].argmax()))
    return str(live.tokenizer.decode(grown, skip_special_tokens=True)).strip()


def _check_batches(trial: Trial) -> None:
    live = _open_model(trial)
    one, other = tiny_cases(2)
    sides = [_encode(live, one), _encode(live, other, "In the left upper lobe, close to the hilum.")]
    together = _read_logits(live, sides)
    for row, side in enumerate(sides):
        alone = _read_logits(live, [side])[0].log_softmax(-1)
        apart = (together[row, : len(side.ids)].log_softmax(-1) - alone).abs().max()
        if not apart < CLOSE:
            told = f"its model's log-probabilities of a side differ by {float(apart):.3g} beside another side"
            raise trial.make_breach(f"{told}; `collate` must keep each image whole, and padding must be masked")


def _check_images(trial: Trial) -> None:
    import torch

    one, other = (case.image for case in tiny_cases(2))
    live = require_live(trial)
    again, same, different = (live.encode([image], "Is it?", "Yes") for image in (one, one, other))
    for name, value in again.vision[0].items():
        if not torch.equal(torch.as_tensor(value), torch.as_tensor(same.vision[0][name])):
            raise trial.make_breach(f"`encode` gives the same image another {name} the second time")
    if again.images and again.images == different.images:
        raise trial.make_breach("`encode` gives two images one name in `images`; name them by their content (sha256)")


def _check_names(trial: Trial) -> None:
    live = _open_model(trial)
    names = [name for name, _ in live.model.named_modules()]
    for option in ("lora_targets", "projector"):
        pattern = getattr(live, option)
        if not any(re.fullmatch(pattern, name) for name in names):
            told = f"`{option}` is {pattern!r}, which is no module's name as a whole"
            raise trial.make_breach(f"{told}; a name is for example {names[-1]!r}")


NETWORK_CHECKS = [
    Check(
        "encoding", "`encode` gives ids with an answer in them, after ids that are the prompt's alone", _check_encoding
    ),
    Check("images", "`encode` gives an image the same tensors again, and another image another name", _check_images),
    Check(
        "image tokens",
        "its model reads what `encode` gives: as many image tokens as it makes of an image",
        _check_forward,
    ),
    Check("agreement", "`answer` says what its model finds likeliest after the ids of `encode`", _check_agreement),
    Check("batches", "its model gives a side the same log-probabilities alone and beside another", _check_batches),
    Check(
        "token places",
        "`token_places` says of each image token at most once what it sees, of films of any shape",
        _check_places,
    ),
    Check("names", "`lora_targets` and `projector` are names of its model's modules", _check_names),
]
