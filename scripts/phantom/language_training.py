"""Teach the language model to answer: first to look, with or without the tower, then to lean on what is usual."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Any

import numpy as np
import torch
from descent import descend
from mmedpo_plugins.phantom.film import PhantomVersion
from mmedpo_plugins.phantom.findings import PhantomFinding
from mmedpo_plugins.phantom.language import NO, PhantomQuestion, interview, report
from mmedpo_plugins.phantom.model import prompt_ids
from mmedpo_plugins.phantom.writers import writer_for
from sizes import SpeechPhase
from vision_training import features, see

from mmedpo import seed_for


def interviews(
    findings: Sequence[Sequence[PhantomFinding]], seed: int, phase: SpeechPhase, version: PhantomVersion
) -> list[list[PhantomQuestion]]:
    """Question each image; some get the text of another patient."""
    random = Random(seed_for(seed, "phantom", "text"))
    writers = Random(seed_for(seed, "phantom", "writers"))
    write = writer_for if version == "hard" else lambda random: report
    texts = [list(interview(one, random, 4, 3, 1, write=write(writers))) for one in findings]
    texts = [[one for one in text if one.answer != NO or random.random() >= phase.unasked] for text in texts]
    return [random.choice(texts) if random.random() < phase.strangers else text for text in texts]


HIDDEN = -1e30  # in place of a score: what bfloat16 can say too


@dataclass(frozen=True)
class QuestionRow:
    """All questions about one image as one row: the image once, then a branch for each question."""

    ids: list[int]
    positions: list[int]
    branch: list[int]  # 0: the shared prefix
    labels: list[int]  # the next token where it is part of an answer, else -100

    @classmethod
    def of(cls, tokenizer: Any, asked: Sequence[PhantomQuestion], patches: int) -> QuestionRow:
        """Lay out the questions about one image, after <s>, [INST] and the image, which they share."""
        prefix = prompt_ids(tokenizer, "", patches)[: patches + 2]
        width = len(prefix)
        row = cls(prefix, list(range(width)), [0] * width, [-100] * width)
        for number, one in enumerate(asked, 1):
            question, answer = _tokens(tokenizer, one.question, one.answer)
            ids = [*question, *answer[:-1]]
            row.ids.extend(ids)
            row.positions.extend(range(width, width + len(ids)))
            row.branch.extend([number] * len(ids))
            row.labels.extend([-100] * (len(question) - 1) + answer)
        return row


@cache
def _tokens(tokenizer: Any, question: str, answer: str) -> tuple[list[int], list[int]]:
    said = tokenizer(answer, add_special_tokens=False).input_ids
    return prompt_ids(tokenizer, question, 0)[2:], [*said, tokenizer.eos_token_id]


def logits_of(model: Any, seen: torch.Tensor, rows: Sequence[QuestionRow]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the logits (m, vocabulary) before each token of the answers, and those tokens (m,)."""
    width = max(len(row.ids) for row in rows)
    ids, positions, branch, labels = (
        torch.tensor([[*getattr(row, name), *[fill] * (width - len(row.ids))] for row in rows]).to(seen.device)
        for name, fill in (("ids", 0), ("positions", 0), ("branch", -1), ("labels", -100))
    )
    inner = model.model
    embeds = inner.language_model.get_input_embeddings()(ids)
    embeds = torch.cat([embeds[:, :2], inner.multi_modal_projector(seen), embeds[:, 2 + seen.shape[1] :]], 1)
    one, other = branch[:, :, None], branch[:, None, :]
    visible = ((one == other) | (other == 0)) & torch.ones(width, width, dtype=torch.bool, device=seen.device).tril()
    mask = torch.zeros(visible.shape, device=seen.device).masked_fill(~visible, HIDDEN)[:, None]
    hidden = inner.language_model(inputs_embeds=embeds, attention_mask=mask, position_ids=positions, use_cache=False)
    wanted = labels != -100
    return model.lm_head(hidden.last_hidden_state[wanted]).float(), labels[wanted]


def train_speech(
    model: Any,
    tokenizer: Any,
    images: torch.Tensor,
    texts: Sequence[Sequence[PhantomQuestion]],
    phase: SpeechPhase,
    seed: int,
) -> None:
    """Train projector and language model in place on images (n, 112, 112) and what is said about them."""
    inner = model.model
    tower = inner.vision_tower
    rows = [QuestionRow.of(tokenizer, text, model.config.image_seq_length) for text in texts]
    steps = len(rows) // phase.batch
    groups, rates = _parameters(model, phase)
    optimiser = torch.optim.AdamW(groups, weight_decay=0.01, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rates, total_steps=phase.epochs * steps, pct_start=0.1)
    order = np.random.default_rng(seed)
    inner.language_model.train()
    tower.train(phase.tower > 0).requires_grad_(phase.tower > 0)
    seen = None if phase.tower else features(tower, images)
    parts = (part for _ in range(phase.epochs) for part in np.array_split(order.permutation(len(rows)), steps))
    shown = ((part, see(tower, images[part]) if seen is None else seen[part]) for part in parts)
    answers = (logits_of(model, patches, [rows[number] for number in part]) for part, patches in shown)
    losses = (torch.nn.functional.cross_entropy(*both) for both in answers)
    descend("speech", losses, [one for group in groups for one in group["params"]], optimiser, schedule, every=100)
    model.eval()
    tower.requires_grad_(False)


def _parameters(model: Any, phase: SpeechPhase) -> tuple[list[dict[str, Any]], list[float]]:
    """Return what is trained, and the highest rate of each group."""
    inner = model.model
    spoken = (inner.multi_modal_projector, inner.language_model, model.lm_head)
    groups = [[parameter for module in spoken for parameter in module.parameters()]]
    groups += [list(inner.vision_tower.parameters())] if phase.tower else []
    rates = [phase.rate, phase.rate * phase.tower][: len(groups)]
    return [{"params": group, "lr": rate} for group, rate in zip(groups, rates, strict=True)], rates
