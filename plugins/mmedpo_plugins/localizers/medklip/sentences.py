"""Sentences in numbers, by the BERT that MedKLIP learned with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import torch
from tokenizers import BertWordPieceTokenizer
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import BertModel

from mmedpo import DataError, Setting
from mmedpo.models import load_model
from mmedpo_plugins.localizers.medklip.network import WORDS

LONGEST = 64  # tokens of a sentence, its first one included


class SentenceModel(BertModel):
    """A BERT whose heads, which its training had, are of no use."""

    _keys_to_ignore_on_load_unexpected: ClassVar = [r"^cls\.", r"pooler\."]


def embed_sentences(sentences: Sequence[str], folder: Path, setting: Setting) -> Tensor:
    """Return the last state of each sentence's first token (sentences, 768), as in MedKLIP's training.

    That token is [CLS]; words are in lower case though the model knows capitals, and no [SEP] ends a sentence.
    """
    exact = replace(setting, dtype="float32", quantize=None)
    model, report = load_model(SentenceModel, str(folder), exact, add_pooling_layer=False)
    if missing := sorted(report["missing_keys"]):
        raise DataError(f"{folder}: lacks {missing[0]}, a weight of the text model")
    if model.config.hidden_size != WORDS:
        raise DataError(f"{folder}: is {model.config.hidden_size} numbers wide; MedKLIP's text model has {WORDS}")
    tokens = [torch.tensor(one, device=setting.device) for one in tokenize_sentences(sentences, folder)]
    ids, there = (pad_sequence(some, batch_first=True) for some in (tokens, [torch.ones_like(one) for one in tokens]))
    with torch.inference_mode():
        states: Tensor = model(input_ids=ids, attention_mask=there).last_hidden_state
    return states[:, 0]


def tokenize_sentences(sentences: Sequence[str], folder: Path) -> list[list[int]]:
    """Return the token ids of each sentence by the folder's vocab.txt. Raises DataError."""
    vocabulary = folder / "vocab.txt"
    if not vocabulary.is_file():
        raise DataError(f"{folder}: has no vocab.txt, which comes with the text model")
    tokenizer = BertWordPieceTokenizer(str(vocabulary), lowercase=True)
    first = tokenizer.token_to_id("[CLS]")
    if first is None:
        raise DataError(f"{vocabulary}: has no [CLS]")
    return [[first, *tokenizer.encode(one, add_special_tokens=False).ids][:LONGEST] for one in sentences]
