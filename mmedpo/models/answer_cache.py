"""What a backbone answers for a dispreference, kept: its samples cost more time than whatever is made of them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, cast

from mmedpo.core.answers import answer_json, read_answer
from mmedpo.core.images import ImageRef
from mmedpo.core.records import Case, digest
from mmedpo.registry.conformance.backbone import check_answers
from mmedpo.registry.contracts.backbone import Encoding, LiveBackbone
from mmedpo.registry.contracts.setting import AnswerStore
from mmedpo.registry.discovery import PluginInfo
from mmedpo.registry.fingerprint import content_json

logger = logging.getLogger(__name__)


def _of_the_model(name: str) -> Any:
    return cast(Any, property(lambda self: getattr(self.live, name)))


class CachedBackbone(LiveBackbone):
    """A backbone that answers from the journal what it was asked before, and is not opened until something is new."""

    model = _of_the_model("model")
    tokenizer = _of_the_model("tokenizer")
    lora_targets = _of_the_model("lora_targets")
    projector = _of_the_model("projector")
    processor = _of_the_model("processor")
    types_key = _of_the_model("types_key")
    causal = _of_the_model("causal")

    def __init__(self, opened: Callable[[], LiveBackbone], journal: AnswerStore, key: str, plugin: PluginInfo) -> None:
        """Take what opens the backbone, the journal, the hash of all that its answers depend on, and whose it is."""
        self._opened, self._journal, self._key, self._found = opened, journal, key, plugin

    @property
    def live(self) -> LiveBackbone:
        """The backbone itself."""
        return self._opened()

    def answer(
        self,
        cases: Sequence[Case],
        *,
        max_new_tokens: int = 64,
        temperature: float = 0.0,
        seeds: Sequence[int] | None = None,
    ) -> list[str]:
        """Answer each case, by its own seed where it is sampled; see `LiveBackbone.answer`."""
        how = {"max_new_tokens": max_new_tokens, "temperature": temperature}
        asked = [content_json(case) for case in cases]
        drawn: Sequence[int | None] = seeds or [None] * len(cases)
        keys = [
            digest("answer, and whether cut", self._key, how, case, seed)
            for case, seed in zip(asked, drawn, strict=True)
        ]
        known = [self._journal.get(key, read_answer) for key in keys]
        new = [at for at, text in enumerate(known) if text is None]
        logger.debug("%d of %d answers are in the journal", len(cases) - len(new), len(cases))
        if new:
            picked = [seeds[at] for at in new] if seeds else None
            some = [cases[at] for at in new]
            said = self.live.answer(some, seeds=picked, **how)  # type: ignore[arg-type]
            answers = check_answers(self._found, some, said)
            for at, text in zip(new, answers, strict=True):
                self._journal.put(keys[at], answer_json(text))
                known[at] = text
        return known

    def encode(self, image: ImageRef, question: str, answer: str) -> Encoding:
        """Encode one side for training."""
        return self.live.encode(image, question, answer)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.live, name)  # what a backbone has beside the contract
