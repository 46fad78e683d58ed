"""A backbone whose answers an endpoint gives, once its greedy answers were compared with the backbone's own."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mmedpo.core.answers import Answer
from mmedpo.core.images import name_images
from mmedpo.core.records import Case, digest
from mmedpo.endpoints.client import ChatClient, open_chat
from mmedpo.endpoints.http.outcome import EndpointAnswer
from mmedpo.endpoints.options import Endpoint
from mmedpo.endpoints.plain_answers import ask_plainly, hash_plain_request, make_plain_request, to_answer
from mmedpo.errors import RecipeError
from mmedpo.models.lazy_backbone import LazyBackbone, require_seeds
from mmedpo.registry.conformance.backbone import check_answers
from mmedpo.registry.conformance.blame import blame_part
from mmedpo.registry.contracts.backbone import Backbone
from mmedpo.registry.contracts.served_model import ServedAnswers
from mmedpo.runtime.context import RunContext
from mmedpo.runtime.stage_parts import StageParts, open_parts

logger = logging.getLogger(__name__)

COMPARED = 3  # cases
COMPARED_TOKENS = 16  # of an answer: in a longer one, two engines may part over a rounding


def served_facts(backbone: Backbone) -> list[Any]:
    """Return what a backbone's answers depend on beside itself: by which name an endpoint gives them, if one does."""
    return [backbone.answers.identity] if backbone.answers else []


class ServedBackbone(LazyBackbone):
    """A backbone that an endpoint answers for; it is opened to be compared once, and for what is no answer."""

    def __init__(self, opened: StageParts, backbone: Backbone, cases: Sequence[Case]) -> None:
        """Take the stage's parts, a backbone that names an endpoint, and the cases of which some are compared."""
        super().__init__(lambda: opened(backbone), opened.run.plugin_of(backbone))
        self._opened, self._backbone, self._cases = opened, backbone, cases
        self._key = opened.run.key(backbone, *served_facts(backbone))
        self._chat: ChatClient | None = None

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
        of_case: Sequence[int | None] = seeds or [None] * len(cases)
        requests = [
            make_plain_request(case, max_new_tokens, temperature, seed)
            for case, seed in zip(cases, of_case, strict=True)
        ]
        keys = [hash_plain_request(self._key, request) for request in requests]
        journal = self._opened.run.journal
        said = {key: journal.get(key, EndpointAnswer.from_json) for key in keys}
        new = [index for index, key in enumerate(keys) if said[key] is None]
        if new:
            left = [cases[index] for index in new], [requests[index] for index in new], [keys[index] for index in new]
            said |= zip(left[2], ask_plainly(self._connect(), *left), strict=True)
        return [to_answer(said[key]) for key in keys]

    def _connect(self) -> ChatClient:
        """Connect when the first answer is needed, and only to an endpoint that answers as the backbone does."""
        if self._chat is None:
            require_same_answers(self._opened.run, self._backbone, self._cases)
            served = _served(self._backbone)
            self._chat = self._opened.enter(open_chat(Endpoint.of(served), self._opened.run.setting))
        return self._chat


def require_same_answers(run: RunContext, backbone: Backbone, cases: Sequence[Case]) -> None:
    """Raise RecipeError when an endpoint answers some cases otherwise than the backbone; once for each of both."""
    served = _served(backbone)
    key = digest("answers alike", run.hash_of(backbone), run.recipe.dtype, served.base_url, served.identity)
    if not served.compare or run.journal.get(key) is not None:
        return
    some = choose_compared(cases)
    there = _ask_endpoint(run, served, some)
    here = _ask_backbone(run, backbone, some)
    rows = [ComparedCase(*row) for row in zip(some, here, there, strict=True)]
    if any(not row.alike for row in rows):
        raise RecipeError("\n".join(_explain_difference(served, rows)))
    logger.info("%s at %s answers %d cases as the backbone does", served.model, served.base_url, len(rows))
    run.journal.put(key, [row.case.id for row in rows])


def choose_compared(cases: Sequence[Case]) -> list[Case]:
    """Choose short cases, of different images and kinds where there are such."""
    seen: Counter[Any] = Counter()

    def take_turn(case: Case) -> tuple[int, int]:
        shown = name_images(case.images)
        turn = seen[shown], seen[case.kind]
        seen.update((shown, case.kind))
        return turn

    short = sorted(cases, key=lambda case: (len(case.question) + len(case.answer), case.id))
    return sorted(short, key=take_turn)[:COMPARED]


@dataclass(frozen=True)
class ComparedCase:
    """A case with the backbone's greedy answer and the endpoint's."""

    case: Case
    here: Answer
    there: Answer

    @property
    def alike(self) -> bool:
        """Whether the two are the same but for white space."""
        return self.here.split() == self.there.split()


def _ask_endpoint(run: RunContext, served: ServedAnswers, cases: Sequence[Case]) -> list[Answer]:
    """Ask without the journal: an endpoint that is refused must leave no answer behind."""
    requests = [make_plain_request(case, COMPARED_TOKENS, 0.0, None) for case in cases]
    keys = [hash_plain_request("compared", request) for request in requests]
    with open_chat(Endpoint.of(served), replace(run.setting, journal=None)) as chat:
        return [to_answer(said) for said in ask_plainly(chat, cases, requests, keys)]


def _ask_backbone(run: RunContext, backbone: Backbone, cases: Sequence[Case]) -> list[Answer]:
    """Open the backbone for these cases alone: the endpoint may share its GPU."""
    plugin = run.plugin_of(backbone)
    with open_parts(run) as opened, blame_part(plugin, f"the options of {plugin.name}"):
        return check_answers(plugin, cases, opened(backbone).answer(cases, max_new_tokens=COMPARED_TOKENS))


def _explain_difference(served: ServedAnswers, rows: Sequence[ComparedCase]) -> Iterator[str]:
    unlike = [row for row in rows if not row.alike]
    yield (
        f"backbone.answers: {served.model!r} at {served.base_url} is not this backbone: "
        f"{len(unlike)} of {len(rows)} greedy answers differ"
    )
    for row in unlike:
        yield f"  case {row.case.id!r}: {row.case.question}"
        yield f"    the backbone here: {' '.join(row.here.split())}"
        yield f"    the endpoint:      {' '.join(row.there.split())}"
    yield (
        "  It may have another chat template, another checkpoint, no adapter or an earlier one under this name, other "
        "image sizes, another precision (docs/explanation/backbones.md). Nothing that it answered was kept; "
        "'compare: false' takes its answers as they are, and the report says so"
    )


def _served(backbone: Backbone) -> ServedAnswers:
    assert backbone.answers is not None, "only a backbone that names an endpoint is served"
    return backbone.answers
