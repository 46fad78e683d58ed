"""The voter that is a model behind an endpoint."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from mmedpo import ExistingFolder, ImageRef, Pair, Setting, Usage
from mmedpo.endpoints import (
    AnswerFault,
    ChatQuestion,
    Endpoint,
    NoAnswerError,
    PromptTemplates,
    bound_usage,
    make_filler,
    open_chat,
)
from mmedpo_plugins.scorers.med_llm_vote.consensus import SCALE, Vote
from mmedpo_plugins.scorers.med_llm_vote.voter_turn import PROMPTS, LiveVoter, render_turn

if TYPE_CHECKING:
    from mmedpo.endpoints import ChatClient


class VoterOpinion(BaseModel):
    """What a model behind an endpoint answers."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    score: int
    """A whole number from 0 to 10."""
    reason: str
    """One sentence."""


class EndpointVoter(Endpoint):
    """A model behind an OpenAI-compatible endpoint: OpenAI, Azure, or vLLM, SGLang, Ollama, TGI of your own."""

    kind: Literal["openai"] = "openai"
    """Which kind of voter this is."""
    name: str = ""
    """What the evidence calls it; by default the model's name."""
    max_tokens: int = Field(default=256, ge=1)
    """The longest answer, in tokens, thoughts included."""
    show_image: bool = False
    """Send the image along; the paper's voters read text alone."""
    prompts: ExistingFolder | None = None
    """A folder with system.txt or user.txt, Jinja templates, in place of ours."""

    @property
    def called(self) -> str:
        """What the evidence calls it."""
        return self.name or self.model

    def estimate_usage(self, pairs: Sequence[Pair], *, debating: bool) -> Usage:
        """Return what one vote on each pair can take at most."""
        prompts = PromptTemplates(PROMPTS, self.prompts)
        before = Vote("", SCALE, make_filler(self.max_tokens)) if debating else None
        each = [(*render_turn(prompts, pair, before), len(self.shown(pair))) for pair in pairs]
        bounds = (bound_usage(self, system, text, VoterOpinion, images=images) for system, text, images in each)
        return sum(bounds, Usage())

    def shown(self, pair: Pair) -> Sequence[ImageRef]:
        """Return the images that are sent along."""
        return pair.case.images if self.show_image else ()

    @contextmanager
    def open(self, setting: Setting) -> Iterator[LiveVoter]:
        """Connect to the endpoint. Raises RecipeError when its key or a prompt is missing."""
        prompts = PromptTemplates(PROMPTS, self.prompts)
        with open_chat(self, setting) as chat:
            yield _LiveEndpointVoter(self, chat, prompts)


@dataclass(frozen=True)
class _LiveEndpointVoter:
    """A remote voter in use."""

    options: EndpointVoter
    chat: ChatClient
    prompts: PromptTemplates

    def vote(self, pairs: Sequence[Pair], seen: Sequence[Vote | None]) -> list[Vote]:
        """Ask about all pairs at once. Raises RecipeError for data that must not leave."""
        self.chat.admit(pair.case for pair in pairs)
        return self.chat.each(list(zip(pairs, seen, strict=True)), self._vote)

    async def _vote(self, item: tuple[Pair, Vote | None]) -> Vote:
        pair, before = item
        system, text = render_turn(self.prompts, pair, before)
        question = ChatQuestion(system, text, VoterOpinion, pair.case, self.options.shown(pair))
        try:
            outcome = await self.chat.ask(question, _check_range)
        except NoAnswerError as end:
            return Vote(self.options.called, None, end.reason, end.passing)
        return Vote(self.options.called, outcome.made.score, " ".join(outcome.made.reason.split()))


def _check_range(opinion: VoterOpinion) -> VoterOpinion | AnswerFault:
    if 0 <= opinion.score <= SCALE:
        return opinion
    return AnswerFault("its score is out of range", f"'score' is a whole number from 0 to {SCALE}.")
