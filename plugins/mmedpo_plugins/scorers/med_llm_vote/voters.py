"""Who can vote: models behind an endpoint, models in this process, and the embedded rules."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from mmedpo import ExistingFolder, Pair, Setting, Usage
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

if TYPE_CHECKING:
    from mmedpo.endpoints import ChatClient

PROMPTS = Path(__file__).parent / "prompts"


class LiveVoter(Protocol):
    """What an open voter does."""

    def vote(self, pairs: Sequence[Pair], seen: Sequence[Vote | None]) -> list[Vote]:
        """Rate each pair from 0 to 10, or not at all; `seen` is the vote before, None for who speaks first."""
        ...


class RulesVoter(BaseModel):
    """The embedded voter: reads plain radiology English by rules, on any machine, with no weights."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    kind: Literal["rules"] = "rules"
    """Which kind of voter this is."""
    name: str = "rules"
    """What the evidence calls it."""

    @property
    def called(self) -> str:
        """What the evidence calls it."""
        return self.name

    def open(self, setting: Setting) -> AbstractContextManager[LiveVoter]:
        """Yield the voter itself; it holds nothing."""
        return nullcontext(self)

    def vote(self, pairs: Sequence[Pair], seen: Sequence[Vote | None]) -> list[Vote]:
        """Rate by the text alone; a rule does not change its mind over the vote before."""
        return [self._vote(pair) for pair in pairs]

    def _vote(self, pair: Pair) -> Vote:
        from mmedpo_plugins.radiology.answer_difference import compare_answers

        found = compare_answers(pair.case.question, pair.chosen.answer, pair.rejected.answer)
        if found is None:
            return Vote(self.name, None, "no known finding, or no English, in one of the answers")
        return Vote(self.name, found.rating, found.reason)


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
        texts = [render_turn(prompts, pair, before) for pair in pairs]
        return sum((bound_usage(self, *text, VoterOpinion, image=self.show_image) for text in texts), Usage())

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
        picture = pair.case.image if self.options.show_image else None
        try:
            outcome = await self.chat.ask(ChatQuestion(system, text, VoterOpinion, pair.case, picture), _in_range)
        except NoAnswerError as end:
            return Vote(self.options.called, None, end.reason, end.passing)
        return Vote(self.options.called, outcome.made.score, " ".join(outcome.made.reason.split()))


def _in_range(opinion: VoterOpinion) -> VoterOpinion | AnswerFault:
    if 0 <= opinion.score <= SCALE:
        return opinion
    return AnswerFault("its score is out of range", f"'score' is a whole number from 0 to {SCALE}.")


def render_turn(prompts: PromptTemplates, pair: Pair, before: Vote | None) -> tuple[str, str]:
    """Return the system's and the user's text for one turn."""
    user = prompts.render(
        "user",
        question=pair.case.question,
        truth=pair.chosen.answer,
        wrong=pair.rejected.answer,
        score=None if before is None else before.score,
        reason="" if before is None else before.reason,
    )
    return prompts.render("system"), user


class LocalVoter(BaseModel):
    """A Hugging Face language model in this process, which may answer with a score and nothing else."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, protected_namespaces=())

    kind: Literal["local"] = "local"
    """Which kind of voter this is."""
    model: str
    """A folder or hub name; with `package`, the file or folder in that package."""
    package: str | None = None
    """An installed Python package that ships the model, by its import name."""
    name: str = ""
    """What the evidence calls it; by default the model's name."""
    batch_size: int = Field(default=8, ge=1)
    """Pairs that run together."""
    calibrate: bool = False
    """Divide by how the model would score a pair without content, which takes out its liking for some numbers."""
    prompts: ExistingFolder | None = None
    """A folder with system.txt or user.txt, Jinja templates, in place of ours."""

    @property
    def called(self) -> str:
        """What the evidence calls it."""
        return self.name or Path(self.model).stem

    def lacking(self) -> Iterator[str]:
        """Yield the packages that are not installed."""
        if self.package is not None and find_spec(self.package) is None:
            yield f"voter {self.called}: there is no package {self.package!r}; pip install it"
        if self.model.endswith(".gguf") and find_spec("gguf") is None:
            yield f"voter {self.called}: a model in GGUF form needs the package gguf: pip install 'mmedpo[gguf]'"

    @contextmanager
    def open(self, setting: Setting) -> Iterator[LiveVoter]:
        """Load the model. Raises RecipeError when there is none, or a prompt is missing."""
        from mmedpo_plugins.scorers.med_llm_vote.local import LiveLocalVoter

        yield LiveLocalVoter.load(self, PromptTemplates(PROMPTS, self.prompts), setting)


Voter = Annotated[RulesVoter | EndpointVoter | LocalVoter, Field(discriminator="kind")]
