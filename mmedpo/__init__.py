"""Clinically weighted preference alignment for medical vision-language models."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmedpo.core.answers import CUT, Answer, was_cut
    from mmedpo.core.images import MOST_PIXELS, ImageRef, require_file
    from mmedpo.core.records import (
        GIVEN,
        Case,
        CaseKind,
        Drop,
        Pair,
        PairKind,
        Region,
        Remark,
        Score,
        Side,
        WeightedPair,
        digest,
        seed_for,
    )
    from mmedpo.core.sameness import drop_uninformative, fold_text
    from mmedpo.core.usage import Usage
    from mmedpo.core.values import is_number
    from mmedpo.data.csv_files import csv_rows
    from mmedpo.data.image_folder import ImageFolder
    from mmedpo.data.json_files import json_rows, json_value, jsonl_rows
    from mmedpo.data.tables import TableRow, UniqueIds, answer_kind, closed_answer, collect_rows, show_value
    from mmedpo.data.text_files import file_text, split_lines, text_lines, why_unreadable
    from mmedpo.endpoints.batches.queue import BatchWait
    from mmedpo.endpoints.client import ChatClient, ChatOutcome, ChatQuestion
    from mmedpo.endpoints.http.outcome import NoAnswerError
    from mmedpo.endpoints.options import Endpoint
    from mmedpo.endpoints.prompts import PromptTemplates
    from mmedpo.endpoints.reasoning import close_thinking, strip_thoughts
    from mmedpo.endpoints.structured import AnswerFault
    from mmedpo.endpoints.token_bounds import bound_usage, make_filler
    from mmedpo.errors import DataError, MmedpoError, PluginError, RecipeError, RunInterrupt
    from mmedpo.models.adapters import BaseFingerprint, load_adapter
    from mmedpo.models.attention_maps import attention_maps
    from mmedpo.models.backbone import EncodedPrompt, TransformersBackbone, release_backbone, tokenize_plain
    from mmedpo.models.checkpoints import explain_load_errors, first_line, load_model, read_config
    from mmedpo.models.damage import require_finite, require_whole
    from mmedpo.registry.contracts import (
        Backbone,
        Dispreference,
        Encoding,
        LiveBackbone,
        Localizer,
        Metric,
        Observer,
        Part,
        Reader,
        Scorer,
        Setting,
        Statistics,
        Weighting,
    )
    from mmedpo.registry.hookspecs import hookimpl
    from mmedpo.registry.path_options import ExistingFile, ExistingFolder, ExistingPath, FolderOrHub
    from mmedpo.registry.statistics import sum_statistics

# Resolved on first use, so that `mmedpo --help` pays for none of them.
_HOMES = {
    "mmedpo.models.adapters": ["BaseFingerprint", "load_adapter"],
    "mmedpo.core.answers": ["CUT", "Answer", "was_cut"],
    "mmedpo.endpoints.batches.queue": ["BatchWait"],
    "mmedpo.endpoints.client": ["ChatClient", "NoAnswerError", "ChatOutcome", "ChatQuestion"],
    "mmedpo.models.checkpoints": ["explain_load_errors", "first_line", "load_model", "read_config"],
    "mmedpo.data.csv_files": ["csv_rows"],
    "mmedpo.models.damage": ["require_finite", "require_whole"],
    "mmedpo.endpoints.options": ["Endpoint"],
    "mmedpo.errors": ["DataError", "MmedpoError", "PluginError", "RecipeError", "RunInterrupt"],
    "mmedpo.registry.hookspecs": ["hookimpl"],
    "mmedpo.data.image_folder": ["ImageFolder"],
    "mmedpo.data.json_files": ["json_rows", "json_value", "jsonl_rows"],
    "mmedpo.models.backbone": ["EncodedPrompt", "TransformersBackbone", "release_backbone", "tokenize_plain"],
    "mmedpo.models.attention_maps": ["attention_maps"],
    "mmedpo.registry.contracts": [
        "Backbone", "Dispreference", "Encoding", "LiveBackbone", "Localizer", "Metric", "Observer", "Part",
        "Reader", "Scorer", "Setting", "Statistics", "Weighting",
    ],
    "mmedpo.registry.path_options": ["ExistingFile", "ExistingFolder", "ExistingPath", "FolderOrHub"],
    "mmedpo.core.images": ["MOST_PIXELS", "ImageRef", "require_file"],
    "mmedpo.endpoints.prompts": ["PromptTemplates"],
    "mmedpo.core.records": [
        "GIVEN", "Case", "CaseKind", "Drop", "Pair", "PairKind", "Region", "Remark", "Score", "Side",
        "WeightedPair", "digest", "seed_for",
    ],
    "mmedpo.endpoints.structured": ["AnswerFault"],
    "mmedpo.data.tables": ["UniqueIds", "TableRow", "answer_kind", "closed_answer", "collect_rows", "show_value"],
    "mmedpo.core.sameness": ["fold_text", "drop_uninformative"],
    "mmedpo.core.usage": ["Usage"],
    "mmedpo.registry.statistics": ["sum_statistics"],
    "mmedpo.data.text_files": ["file_text", "split_lines", "text_lines", "why_unreadable"],
    "mmedpo.endpoints.reasoning": ["close_thinking", "strip_thoughts"],
    "mmedpo.endpoints.token_bounds": ["make_filler", "bound_usage"],
    "mmedpo.core.values": ["is_number"],
}  # fmt: skip
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}
__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'mmedpo' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)
