"""The network and its tokenizer, from a checkpoint or drawn."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import PreTrainedTokenizerFast

from mmedpo import Setting
from mmedpo.models import load_model
from mmedpo_recurrent.live import END
from mmedpo_recurrent.network import FilmRecurrence, RecurrentConfig


def open_network(checkpoint: Path | None, setting: Setting) -> FilmRecurrence:
    """Return the network on the setting's device, in its dtype. Raises DataError for a checkpoint that is none."""
    if checkpoint:
        model, _ = load_model(FilmRecurrence, str(checkpoint), setting)
        return model
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        drawn = FilmRecurrence(RecurrentConfig())
    return drawn.to(setting.device, torch.float32 if setting.dtype == "auto" else getattr(torch, setting.dtype))


def open_tokenizer() -> PreTrainedTokenizerFast:
    """Return a tokenizer to which each byte is a token."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    letters = [END, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    words = Tokenizer(models.BPE({letter: number for number, letter in enumerate(letters)}, []))
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=words, eos_token=END, pad_token=END)
