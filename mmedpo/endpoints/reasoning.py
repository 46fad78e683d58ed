"""What a reasoning model thinks aloud before it answers: drafts, which are no answers.

Models mark their thoughts each in their own way, and chat templates and servers swallow some of the marks: often the
opening one, since the template writes it. So what counts is the last closing mark; what comes before it is thought.
"""

from __future__ import annotations

import re

_NAMES = (
    r"[\w:.-]{0,20}(?:think|thought|reason|reflect|analy[sz]|scratch|deliberat|rationale|monolog|ponder|contemplat|draft"
    r"|brainstorm|(?<![a-z])cot(?![a-z])|(?<![a-z])plan)[\w:.-]{0,20}"
)
_TAGS = (  # how a tag of such a name opens, closes, and ends
    (r"(?:[<＜]|&lt;)\s*", _NAMES, r"[^<>\n]{0,80}?(?:[>＞]|&gt;)"),
    (r"[\[◁]\s*", r"(?:think|thinking|thoughts?|reasoning)", r"\s*[\]▷]"),
)
_CLOSING = re.compile(
    "|".join(
        (
            *(rf"{opens}/\s*{name}{ends}" for opens, name, ends in _TAGS),
            # <|end_of_thought|>
            r"<\|\s*(?:/\s*|end[\w-]{0,20}?[_-])(?:of[_-])?(?:think|thought|reason|analysis)\w{0,20}\s*\|>",
            r"<\|(?:begin|start)_of_(?:solution|answer|response)\|>|<\|START_(?:RESPONSE|TEXT|ANSWER)\|>",
            r"<\|channel\|>\s*final\b[^{}]{0,80}?<\|message\|>",  # harmony, as gpt-oss writes it
            r"(?-i:assistantfinal(?![a-z]))",  # the same where a server took its marks out
            r"<\|inner_suffix\|>|<channel\|>|<unused95>",  # Apertus, Gemma, MedGemma
            r"\.\.\.\s*done thinking\.?|\bhere(?:'s| is) my response:",  # Ollama, Granite
        )
    ),
    re.IGNORECASE,
)
_TAG = "|".join(rf"{opens}{name}(?=[^\w:.-]){ends}" for opens, name, ends in _TAGS)
_OPENING = re.compile(
    "|".join(
        (
            _TAG,
            r"<\|\s*(?:(?:begin|start)[\w-]{0,20}?[_-])?(?:of[_-])?(?:think|thought|reason|analysis)\w{0,20}\s*\|>",
            r"<\|channel\|>\s*(?:analysis|commentary)\b",
            r"(?-i:\A\s*analysis(?=[A-Z\"'{])|assistant(?:analysis|commentary)(?=[A-Z\"'{]))",
            r"<\|inner_prefix\|>|<\|channel>\s*thought|<unused94>",
            r"\A\s*thinking\.\.\.|\bhere(?:'s| is) my thought process:",
        )
    ),
    re.IGNORECASE,
)
_MARKED = re.compile(
    r"[<＜◁\[]|&lt;|assistant(?:final|analysis|commentary)|\A\s*analysis|think|thought|response:", re.I
)
_OVER = re.compile(r"<\|(?:return|end|im_end|eot_id|call)\|>\Z", re.IGNORECASE)  # marks that end a turn


def strip_thoughts(text: str) -> str | None:
    """Return what an answer says after its thoughts; None where a thought does not end, as when it was cut off."""
    if not _MARKED.search(text):
        return text
    end = max((found.end() for found in _CLOSING.finditer(text)), default=0)
    said = text[end:]
    if _OPENING.search(said):
        return None
    for _ in range(3):
        said = _OVER.sub("", said.rstrip())
    return said


def close_thinking(prompt: str) -> str:
    """Return a chat template's prompt so that the answer itself comes next, where it leaves the model to think."""
    if re.search(r"<\|start\|>assistant\Z", prompt):
        return f"{prompt}<|channel|>final<|message|>"
    opened = re.search(rf"(?:{_TAG})\s*\Z", prompt[-200:], re.IGNORECASE)
    if not opened:
        return prompt
    mark = opened.group().strip()
    return f"{prompt.rstrip()}\n\n{mark[0]}/{mark[1:]}\n\n"
