"""How likely a backbone finds each of a few answers, read off one pass over its prompts: nothing is generated."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import torch
from torch import Tensor

from mmedpo.core.images import name_images, order_by_images
from mmedpo.core.records import Case
from mmedpo.errors import DataError
from mmedpo.models.adapters import unwrap_model
from mmedpo.models.answering.batches import AskedPrompt, split_batches, token_budget
from mmedpo.models.answering.decoding import TreeModel, read_prompts
from mmedpo.models.answering.key_values import TreeKeyValues
from mmedpo.models.prompts import pad_token
from mmedpo.models.trees.inputs import ImageSequence
from mmedpo.models.trees.tree_attention import tree_attention, why_no_trees
from mmedpo.registry.contracts.backbone import Encoding, LiveBackbone

YES_NO = (("Yes", "No"), ("yes", "no"))
ROWS = 8  # that are computed together where the model reads no token trees
SIDES = 64  # that are encoded at once


@dataclass(frozen=True)
class ChoiceTokens:
    """The tokens by which a backbone's answers part, and what they begin with alike."""

    lead: list[int]
    heads: list[list[int]]  # of each choice, one for each of its spellings


def yes_leanings(live: LiveBackbone, cases: Sequence[Case]) -> list[float]:
    """Return for each case log p(yes) - log p(no), of the first word of the answer, in capitals or not."""
    return [yes - no for yes, no in choice_logits(live, cases, YES_NO)]


def choice_logits(live: LiveBackbone, cases: Sequence[Case], spellings: Sequence[Sequence[str]]) -> list[list[float]]:
    """Return for each case a number a choice, whose softmax says how likely each is among them.

    Each of `spellings` has all choices once; what counts is the token in which they part, and the spellings of a choice
    add up. Questions about the same images are read as one token tree, where the model takes trees.
    Raises DataError where the backbone's words tell no spelling's choices apart.
    """
    if not cases:
        return []
    tokens = find_choice_tokens(live, cases[0], spellings)
    order = order_by_images([name_images(case.images) for case in cases])
    logits: dict[int, list[float]] = {}
    for start in range(0, len(order), SIDES):
        some = order[start : start + SIDES]
        logits |= zip(some, _read_choices(live, [cases[number] for number in some], tokens), strict=True)
    return [logits[number] for number in range(len(cases))]


@torch.no_grad()
def _read_choices(live: LiveBackbone, cases: Sequence[Case], tokens: ChoiceTokens) -> list[list[float]]:
    sides = [_encode_lead(live, case, tokens) for case in cases]
    base = unwrap_model(live.model)
    trees = not why_no_trees(base, live.causal, max(len(side.ids) for side in sides))
    read: dict[int, list[float]] = {}
    for numbers, last in (_read_trees if trees else _read_rows)(live, sides):
        summed = torch.stack([last[:, heads].logsumexp(1) for heads in tokens.heads], dim=1)
        if not summed.isfinite().all():
            raise DataError(f"{type(base).__name__}: gives answers no finite likelihood; use another `dtype`")
        read |= zip(numbers, summed.tolist(), strict=True)
    return [read[number] for number in range(len(cases))]


def find_choice_tokens(live: LiveBackbone, case: Case, spellings: Sequence[Sequence[str]]) -> ChoiceTokens:
    """Find by which tokens choices part; a spelling that does not tell them apart is left out.

    Raises DataError where none does.
    """
    found: ChoiceTokens | None = None
    for choices in spellings:
        lead, heads = _part_answers([_answer_tokens(live, case, choice) for choice in choices])
        if len(set(heads)) < len(choices) or (found and found.lead != lead):
            continue
        every = [[*known, head] for known, head in zip(found.heads if found else [[]] * len(heads), heads, strict=True)]
        if len({token for one in every for token in one}) == sum(len(set(one)) for one in every):
            found = ChoiceTokens(lead, [list(dict.fromkeys(one)) for one in every])
    if found is None:
        words = ", ".join(spellings[0])
        raise DataError(f"the backbone has no token of its own for each of {words}, so it cannot choose among them")
    return found


def _answer_tokens(live: LiveBackbone, case: Case, answer: str) -> list[int]:
    side = live.encode(case.images, case.question, answer)
    return list(side.ids[side.answer_start : -1])


def _part_answers(answers: Sequence[list[int]]) -> tuple[list[int], list[int]]:
    """Return what token sequences begin with alike, and the token after it of each that has one."""
    common = len(list(takewhile(lambda tokens: len(set(tokens)) == 1, zip(*answers, strict=False))))
    return answers[0][:common], [answer[common] for answer in answers if len(answer) > common]


def _encode_lead(live: LiveBackbone, case: Case, tokens: ChoiceTokens) -> Encoding:
    """Encode a question up to where the choices part."""
    side = live.encode(case.images, case.question, YES_NO[0][0])
    ids = [*side.ids[: side.answer_start], *tokens.lead]
    types = None if side.token_types is None else [*side.token_types[: side.answer_start], *[0] * len(tokens.lead)]
    return Encoding(ids, side.answer_start, side.vision, side.images, types)


def _read_trees(live: LiveBackbone, sides: Sequence[Encoding]) -> Iterator[tuple[list[int], Tensor]]:
    """Yield sides by number and the logits (sides, vocabulary) after them, those of the same images in a row."""
    names = [tuple(side.images) or (f"case {number}",) * len(side.vision) for number, side in enumerate(sides)]
    asked = (
        AskedPrompt(at, ImageSequence.of(names[at], sides[at].ids, sides[at].token_types, sides[at].vision))
        for at in order_by_images(names)
    )
    model = TreeModel.of(live)
    with tree_attention(model.base):
        for batch in split_batches(asked, 1, token_budget(model.base)):
            leaves, logits = read_prompts(model, TreeKeyValues(), batch)
            yield leaves.numbers, logits


def _read_rows(live: LiveBackbone, sides: Sequence[Encoding]) -> Iterator[tuple[list[int], Tensor]]:
    """Yield the same where each side is a row of its own."""
    for start in range(0, len(sides), ROWS):
        some = sides[start : start + ROWS]
        yield list(range(start, start + len(some))), _last_logits(live, some)


def _last_logits(live: LiveBackbone, sides: Sequence[Encoding]) -> Tensor:
    model: Any = live.model
    width = max(len(side.ids) for side in sides)

    def stack(rows: list[Sequence[int]], fill: int) -> Tensor:
        return torch.tensor([[*row, *[fill] * (width - len(row))] for row in rows], device=model.device)

    inputs = {
        "input_ids": stack([side.ids for side in sides], pad_token(live.tokenizer, 0)),
        "attention_mask": stack([[1] * len(side.ids) for side in sides], 0),
    }
    types = [side.token_types for side in sides if side.token_types is not None]
    if types:
        inputs[live.types_key] = stack(types, 0)
    vision = live.collate([tensors for side in sides for tensors in side.vision])
    inputs |= {name: value.to(model.device) for name, value in vision.items()}
    logits: Tensor = model(**inputs, use_cache=False).logits
    return logits[torch.arange(len(sides)), [len(side.ids) - 1 for side in sides]].float()
