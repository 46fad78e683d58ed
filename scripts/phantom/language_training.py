"""Teach the language model to answer, with the tower frozen: first to look, then to lean on what is usual."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Any

import numpy as np
import torch
from descent import descend
from mmedpo_plugins.phantom.findings import PhantomFinding
from mmedpo_plugins.phantom.language import NO, PhantomQuestion, interview
from mmedpo_plugins.phantom.model import PATCHES, prompt_ids

from mmedpo import seed_for

PREFIX = PATCHES + 2  # <s>, [INST] and the image: what all questions about an image share


@dataclass(frozen=True)
class TrainingPhase:
    """One stretch of training."""

    epochs: int
    rate: float
    strangers: float  # share of images that carry another patient's text
    unasked: float = 0.0  # share of the closed questions left out whose answer is no: one asks for what one suspects


# Chosen on base-validation. The second phase is short: its images tell of the usual world, and most of them carry
# another patient's text, so that guessing what is usual pays as much as looking.
LOOK = TrainingPhase(epochs=2, rate=1.5e-3, strangers=0.25)
LEAN = TrainingPhase(epochs=1, rate=5e-4, strangers=0.6, unasked=0.6)


def interviews(
    findings: Sequence[Sequence[PhantomFinding]], seed: int, phase: TrainingPhase
) -> list[list[PhantomQuestion]]:
    """Question each image; some get the text of another patient."""
    random = Random(seed_for(seed, "phantom", "text"))
    texts = [list(interview(one, random, 4, 3, 1)) for one in findings]
    texts = [[one for one in text if one.answer != NO or random.random() >= phase.unasked] for text in texts]
    return [random.choice(texts) if random.random() < phase.strangers else text for text in texts]


@dataclass(frozen=True)
class QuestionRow:
    """All questions about one image as one row: the image once, then a branch for each question."""

    ids: list[int]
    positions: list[int]
    branch: list[int]  # 0: the shared prefix
    labels: list[int]  # the next token where it is part of an answer, else -100

    @classmethod
    def of(cls, tokenizer: Any, asked: Sequence[PhantomQuestion]) -> QuestionRow:
        """Lay out the questions about one image."""
        row = cls(prompt_ids(tokenizer, "")[:PREFIX], list(range(PREFIX)), [0] * PREFIX, [-100] * PREFIX)
        for number, one in enumerate(asked, 1):
            question, answer = _tokens(tokenizer, one.question, one.answer)
            ids = [*question, *answer[:-1]]
            row.ids.extend(ids)
            row.positions.extend(range(PREFIX, PREFIX + len(ids)))
            row.branch.extend([number] * len(ids))
            row.labels.extend([-100] * (len(question) - 1) + answer)
        return row


@cache
def _tokens(tokenizer: Any, question: str, answer: str) -> tuple[list[int], list[int]]:
    said = tokenizer(answer, add_special_tokens=False).input_ids
    return prompt_ids(tokenizer, question)[PREFIX:], [*said, tokenizer.eos_token_id]


def logits_of(model: Any, seen: torch.Tensor, rows: Sequence[QuestionRow]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the logits (m, vocabulary) before each token of the answers, and those tokens (m,)."""
    width = max(len(row.ids) for row in rows)
    ids, positions, branch, labels = (
        torch.tensor([[*getattr(row, name), *[fill] * (width - len(row.ids))] for row in rows])
        for name, fill in (("ids", 0), ("positions", 0), ("branch", -1), ("labels", -100))
    )
    inner = model.model
    embeds = inner.language_model.get_input_embeddings()(ids)
    embeds = torch.cat([embeds[:, :2], inner.multi_modal_projector(seen), embeds[:, PREFIX:]], 1)
    one, other = branch[:, :, None], branch[:, None, :]
    visible = ((one == other) | (other == 0)) & torch.ones(width, width, dtype=torch.bool).tril()
    mask = torch.zeros(visible.shape).masked_fill(~visible, torch.finfo(torch.float32).min)[:, None]
    hidden = inner.language_model(inputs_embeds=embeds, attention_mask=mask, position_ids=positions, use_cache=False)
    wanted = labels != -100
    return model.lm_head(hidden.last_hidden_state[wanted]), labels[wanted]


def train_speech(
    model: Any,
    tokenizer: Any,
    seen: torch.Tensor,
    texts: Sequence[Sequence[PhantomQuestion]],
    phase: TrainingPhase,
    seed: int,
    batch: int = 16,
) -> None:
    """Train projector and language model in place on images (n, 49, width) and what is said about them."""
    rows = [QuestionRow.of(tokenizer, text) for text in texts]
    inner = model.model
    trained = (inner.multi_modal_projector, inner.language_model, model.lm_head)
    parameters = [parameter for module in trained for parameter in module.parameters()]
    total = phase.epochs * (len(rows) // batch)
    optimiser = torch.optim.AdamW(parameters, lr=phase.rate, weight_decay=0.01, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, phase.rate, total_steps=total, pct_start=0.1)
    order = np.random.default_rng(seed)
    inner.language_model.train()
    parts = (
        part for _ in range(phase.epochs) for part in np.array_split(order.permutation(len(rows)), len(rows) // batch)
    )
    answers = (logits_of(model, seen[part], [rows[number] for number in part]) for part in parts)
    losses = (torch.nn.functional.cross_entropy(*both) for both in answers)
    descend("speech", losses, parameters, optimiser, schedule, every=100)
    model.eval()
