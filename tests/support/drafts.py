"""Answers with a draft in what a model thinks aloud, in the ways that models mark it."""

from __future__ import annotations

import json
from typing import Any


def opinion(score: Any, reason: str = "final") -> str:
    return json.dumps({"score": score, "reason": reason})


DRAFT = opinion(2, "draft")
THOUGHTS = [
    "<think>{}</think>", "{}</think>", "<Think>{}</THINK>", "<thinking>{}</thinking>", "<reasoning>{}</reasoning>",
    "<thought>{}</thought>", "<THOUGHTS>{}</THOUGHTS>", "{}</reasoning>", "<analysis>{}</analysis>",
    "<scratchpad>{}</scratchpad>", "<reflection>{}</reflection>", "<rationale>{}</rationale>", "<cot>{}</cot>",
    "<seed:think>{}</seed:think>", "<antThinking>{}</antThinking>", "< think >{}< / think >",
    '<think effort="high">{}</think>', "[THINK]{}[/THINK]", "◁think▷{}◁/think▷", "＜think＞{}＜/think＞",
    "&lt;think&gt;{}&lt;/think&gt;", "<|begin_of_thought|>{}<|end_of_thought|>", "{}<|end_of_thought|>",
    "<|START_THINKING|>{}<|END_THINKING|>", "<unused94>thought\n{}<unused95>", "<|inner_prefix|>{}<|inner_suffix|>",
    "<|channel|>analysis<|message|>{}<|end|><|start|>assistant<|channel|>final<|message|>",
    "<|channel|>analysis<|message|>{}<|end|><|start|>assistant<|channel|>final <|constrain|>json<|message|>",
    "analysisWe see {}assistantfinal", "<|channel>thought\n{}<channel|>", "Thinking...\n{}\n...done thinking.\n",
    "<think>a</think><think>{}</think>", "<think>{} <think> again </think> more </think>",
]  # fmt: skip
