"""How each family of LLaVA releases was shown images and asked: the words around a question, and how films are padded.

The words are those of `conv_mistral_instruct`, `conv_vicuna_v1` and `conv_llama3` in the public code:
microsoft/LLaVA-Med, haotian-liu/LLaVA, and UCSC-VLAA/MedTrinity-25M for LLaVA-Med++ (first in mbzuai-oryx/LLaVA-pp).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from mmedpo.models import tokenize_plain

IMAGE = "<image>"
POLITE = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions."
)
CHAT = (
    "BEGIN{% for message in messages %}{% if message['role'] == 'user' %}ASK{% if message['content'] is string %}"
    "{{ message['content'] }}{% else %}{% for item in message['content'] %}{% if item['type'] == 'image' %}"
    "<image>AFTER{% endif %}{% endfor %}{% for item in message['content'] %}{% if item['type'] == 'text' %}"
    "{{ item['text'] }}{% endif %}{% endfor %}{% endif %}REPLY{% else %}SPACE{% if message['content'] is string %}"
    "{{ message['content'] }}{% else %}{{ message['content'][0]['text'] }}{% endif %}END{% endif %}{% endfor %}"
)


@dataclass(frozen=True)
class Convention:
    """The words before and after a question, and what is done to a film that is not square."""

    ask: str  # between what begins a text and the image
    reply: str  # between the question and the answer
    end: str  # the token that closes an answer
    system: str = ""  # before all questions
    space: str = " "  # before an answer in a text of several turns
    begins: int = 1  # how many of the tokens that begin a text
    after: str = "\n"  # between image and question
    marked: bool = False  # whether the words hold special tokens
    own_mode: bool = False  # a grey film is padded with one grey, else it is made RGB before
    late: bool = False  # padding of an even gap is one pixel more before the film than after it

    def tokenize(self, tokenizer: Any, question: str) -> tuple[list[int], list[int]]:
        """Return the tokens before and after the image; what the question says never becomes a special token.

        Both are tokenized apart from each other, as in training.
        """
        words = self.system + self.ask
        before = _tokenize_marks(tokenizer, words) if self.marked else tokenize_plain(tokenizer, words)
        if self.marked:
            after = [*tokenize_plain(tokenizer, self.after + question), *_tokenize_marks(tokenizer, self.reply)]
        else:
            after = tokenize_plain(tokenizer, self.after + question + self.reply)
        return [tokenizer.bos_token_id] * self.begins + before, after

    @property
    def chat_template(self) -> str:
        """The same words as a chat template, which begins the text itself since some who use it do and some do not."""
        parts = {
            "BEGIN": "{{ bos_token }}" * self.begins + self.system, "ASK": self.ask, "AFTER": self.after,
            "REPLY": self.reply, "SPACE": self.space, "END": self.end,
        }  # fmt: skip
        template = CHAT
        for name, words in parts.items():
            template = template.replace(name, words)
        return template


def _tokenize_marks(tokenizer: Any, text: str) -> list[int]:
    ids: list[int] = tokenizer(text, add_special_tokens=False).input_ids
    return ids


MISTRAL = Convention("[INST] ", " [/INST]", "</s>", own_mode=True, late=True)
VICUNA = Convention("USER: ", " ASSISTANT:", "</s>", system=f"{POLITE} ")
# The words begin the text and the tokenizer begins it once more: models were trained on both tokens.
LLAMA3 = Convention(
    "<|start_header_id|>user<|end_header_id|>\n\n", "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
    "<|eot_id|>", system=f"<|start_header_id|>system<|end_header_id|>\n\n{POLITE}<|eot_id|>", space="", begins=2,
    marked=True,
)  # fmt: skip
# The first tokenizers of Llama 3 began nothing. The public code takes the first token of each piece for theirs, so
# that the line's end after the image was lost.
LLAMA3_BEGUN_ONCE = replace(LLAMA3, begins=1, after="")
CONVENTIONS = (MISTRAL, VICUNA, LLAMA3, LLAMA3_BEGUN_ONCE)


def find_convention(chat_template: Any) -> Convention | None:
    """Return the convention that a chat template was written by; None for another's."""
    return next((one for one in CONVENTIONS if one.chat_template == chat_template), None)


def llama3_convention(begun: Iterable[int], tokenizer: Any) -> Convention:
    """Return the convention of a Llama 3 whose tokenizer makes these tokens of an empty text."""
    return LLAMA3 if list(begun) == [tokenizer.bos_token_id] else LLAMA3_BEGUN_ONCE
