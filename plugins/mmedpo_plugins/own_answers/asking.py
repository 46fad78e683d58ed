"""What parts share that show the backbone's answers to a model at an endpoint: prompts, prices, and the asking."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from mmedpo import AnswerLimits, Case, CaseKind, Dispreference, Drop, ExistingFolder, LiveBackbone, Pair, Setting, Usage
from mmedpo.endpoints import ChatQuestion, Endpoint, NoAnswerError, PromptTemplates, bound_usage, open_chat
from mmedpo_plugins.own_answers.sampling import OwnAnswer, sample_answers

if TYPE_CHECKING:
    from mmedpo.endpoints import ChatClient, ChatOutcome


class AskingPart(Endpoint, Dispreference):
    """Show what the backbone answers to a model at an endpoint."""

    makes = "text"
    needs_backbone = True
    slice_size: ClassVar[int] = 128
    own_prompts: ClassVar[Path]

    max_new_tokens: AnswerLimits = AnswerLimits()
    """The backbone's longest answer, in tokens: a number, or one each for `closed`, `open` and `report`."""
    prompts: ExistingFolder | None = None
    """A folder with system.txt or user.txt, Jinja templates, in place of ours."""

    def longest_answer(self, kind: CaseKind) -> int:
        """Return the tokens that a rejected answer to a case of a kind has at most."""
        return max(self.max_tokens, self.max_new_tokens.of(kind))

    @property
    @abstractmethod
    def sampling(self) -> tuple[int, float]:
        """How often the backbone answers each case, and at which temperature."""

    @abstractmethod
    def longest_question(self, prompts: PromptTemplates, case: Case) -> ChatQuestion:
        """Return what is asked about a case whose answers are all as long as they may be."""

    @abstractmethod
    def live(self, chat: ChatClient, prompts: PromptTemplates, seed: int) -> LiveAsker[Any]:
        """Make the open part."""

    def estimate_usage(self, items: Sequence[Case]) -> list[tuple[Endpoint, Usage]]:
        """Return what asking about these cases can take at most, each answer at its token limit."""
        prompts = self._read_prompts()
        questions = [self.longest_question(prompts, case) for case in items]
        bounds = [bound_usage(self, q.system, q.text, q.shape, images=len(q.pictures)) for q in questions]
        return [(self, sum(bounds, Usage()))]

    def open(self, setting: Setting) -> AbstractContextManager[LiveAsker[Any]]:
        """Connect to the endpoint. Raises RecipeError when its key or a prompt is missing."""
        return self._open(setting)

    @contextmanager
    def _open(self, setting: Setting) -> Iterator[LiveAsker[Any]]:
        prompts = self._read_prompts()
        with open_chat(self, setting) as chat:
            yield self.live(chat, prompts, setting.seed)

    def _read_prompts(self) -> PromptTemplates:
        return PromptTemplates(self.own_prompts, self.prompts)


AnyPart = TypeVar("AnyPart", bound=AskingPart)


class LiveAsker(ABC, Generic[AnyPart]):
    """The open part."""

    def __init__(self, part: AnyPart, chat: ChatClient, prompts: PromptTemplates, seed: int) -> None:
        """Take the options, the endpoint, its prompts and the run's seed."""
        self.part, self.chat, self.prompts, self._seed = part, chat, prompts, seed

    def disprefer(
        self, cases: Sequence[Case], backbone: LiveBackbone | None, earlier: Sequence[Sequence[Pair]]
    ) -> Iterator[Pair | Drop]:
        """Yield each case's pair, in the order of the answers. Raises RecipeError for data that must not leave."""
        self.chat.admit(cases)  # before the backbone works for nothing
        (count, temperature), limit = self.part.sampling, self.part.max_new_tokens
        sampled = sample_answers(backbone, cases, count, temperature=temperature, max_new_tokens=limit, seed=self._seed)
        yield from self.chat.each(list(zip(cases, sampled, strict=True)), self._work)

    async def _work(self, item: tuple[Case, list[OwnAnswer]]) -> Pair | Drop:
        case, samples = item
        try:
            return await self.make_pair(case, samples)
        except NoAnswerError as end:
            return Drop(case.id, end.reason, passing=end.passing)

    @abstractmethod
    async def make_pair(self, case: Case, samples: list[OwnAnswer]) -> Pair | Drop:
        """Make the pair of a case. Raises NoAnswerError where the model has none to give."""

    def note_calls(self, outcome: ChatOutcome[Any], **facts: Any) -> dict[str, Any]:
        """Return what is noted of a pair: who was asked, what came of it, and what it took."""
        return {"model": self.part.model, **facts, "calls": outcome.calls, "tokens": list(outcome.tokens)}
