"""What a backbone answers for a dispreference, kept: its samples cost more time than whatever is made of them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from mmedpo.core.answers import dump_answer, read_answer
from mmedpo.core.records import Case, digest
from mmedpo.models.lazy_backbone import LazyBackbone, require_seeds
from mmedpo.registry.conformance.backbone import check_answers
from mmedpo.registry.contracts.backbone import LiveBackbone
from mmedpo.registry.contracts.setting import AnswerStore
from mmedpo.registry.fingerprint import content_json
from mmedpo.registry.plugin_info import PluginInfo

logger = logging.getLogger(__name__)


class CachedBackbone(LazyBackbone):
    """A backbone that answers from the journal what it was asked before, and is not opened until something is new."""

    def __init__(
        self, open_backbone: Callable[[], LiveBackbone], journal: AnswerStore, key: str, plugin: PluginInfo
    ) -> None:
        """Take what opens the backbone, the journal, the hash of all that its answers depend on, and whose it is."""
        super().__init__(open_backbone, plugin)
        self._journal, self._key, self._whose = journal, key, plugin

    def answer(
        self,
        cases: Sequence[Case],
        *,
        max_new_tokens: int = 64,
        temperature: float = 0.0,
        seeds: Sequence[int] | None = None,
    ) -> list[str]:
        """Answer each case, by its own seed where it is sampled; see `LiveBackbone.answer`."""
        require_seeds(cases, temperature, seeds)
        settings: dict[str, Any] = {"max_new_tokens": max_new_tokens, "temperature": temperature}
        of_case: Sequence[int | None] = seeds or [None] * len(cases)
        keys = [
            digest("answer, and whether cut", self._key, settings, content_json(case), seed)
            for case, seed in zip(cases, of_case, strict=True)
        ]
        answers = self._journal.get_all(keys, read_answer)
        new = [index for index, answer in enumerate(answers) if answer is None]
        logger.debug("%d of %d answers are in the journal", len(cases) - len(new), len(cases))
        if new:
            new_cases, new_seeds = [cases[index] for index in new], [seeds[index] for index in new] if seeds else None
            given = super().answer(new_cases, seeds=new_seeds, **settings)
            for index, answer in zip(new, check_answers(self._whose, new_cases, given), strict=True):
                self._journal.put(keys[index], dump_answer(answer))
                answers[index] = answer
        return answers
