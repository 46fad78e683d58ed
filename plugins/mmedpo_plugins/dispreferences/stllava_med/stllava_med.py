"""The dispreference in which a large model scores two answers of the backbone (STLLaVA-Med)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from mmedpo import Case, Dispreference, Drop, ExistingFolder, LiveBackbone, Pair, Setting, Usage
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
from mmedpo_plugins.own_answers.preference import prefer_answer
from mmedpo_plugins.own_answers.sampling import OwnAnswer, sample_answers, unlike_answers

if TYPE_CHECKING:
    from mmedpo.endpoints import ChatClient

LOWEST, HIGHEST = 1, 10


class AnswerScores(BaseModel):
    """What the model answers."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    first: int
    """The score of answer 1, from 1 to 10."""
    second: int
    """The score of answer 2, from 1 to 10."""
    reason: str
    """In a sentence or two, what makes the difference."""


class ExpertPreference(Endpoint, Dispreference):
    """Let GPT-4o, or any model that sees images, prefer one of two sampled answers (STLLaVA-Med, arXiv 2406.19973).

        disprefer:
          - {use: stllava-med, model: gpt-4o}

    The backbone answers twice at a temperature; the model at the endpoint, as a medical expert, sees image, question
    and both answers and scores them: the higher is y_w, the lower y_l (Sun et al. 2024, preference
    optimization). Both are the backbone's own; of the clinician's answer nobody is told.

    What differs: questions are the data's, not written by the model; samples are drawn without top-k 100 and top-p
    0.95; the prompt and the scale are ours; two equal scores make no pair (published: the second answer wins); an
    answer that was cut off is not preferred. The publication trains the vision tower too, which `train: {vision_tower:
    true}` does.
    """

    use: ClassVar[str] = "stllava-med"
    makes = "text"
    needs_backbone = True
    slice_size: ClassVar[int] = 128

    temperature: float = Field(default=0.2, ge=0, le=2)
    """How freely the model at the endpoint judges; left out for models that do not take it."""
    sample_temperature: float = Field(default=1.2, gt=0, allow_inf_nan=False)
    """How freely the backbone answers; higher is freer."""
    max_new_tokens: int = Field(default=64, ge=1)
    """The backbone's longest answer, in tokens."""
    show_image: bool = True
    """Send the image along."""
    prompts: ExistingFolder | None = None
    """A folder with system.txt or user.txt, Jinja templates, in place of ours."""

    @property
    def longest_answer(self) -> int:
        """The tokens that a rejected answer has at most."""
        return self.max_new_tokens

    def estimate_usage(self, items: Sequence[Case]) -> list[tuple[Endpoint, Usage]]:
        """Return what asking about these cases can take at most, both answers at their token limit."""
        prompts = self._read_prompts()
        longest = OwnAnswer(make_filler(self.max_new_tokens))
        questions = [score_question(self, prompts, case, (longest, longest)) for case in items]
        bounds = [bound_usage(self, q.system, q.text, q.shape, images=len(q.pictures)) for q in questions]
        return [(self, sum(bounds, Usage()))]

    def open(self, setting: Setting) -> AbstractContextManager[_LiveExpertPreference]:
        """Connect to the endpoint. Raises RecipeError when its key or a prompt is missing."""
        return self._open(setting)

    @contextmanager
    def _open(self, setting: Setting) -> Iterator[_LiveExpertPreference]:
        prompts = self._read_prompts()
        with open_chat(self, setting) as chat:
            yield _LiveExpertPreference(self, chat, prompts, setting.seed)

    def _read_prompts(self) -> PromptTemplates:
        return PromptTemplates(Path(__file__).parent / "prompts", self.prompts)


class _LiveExpertPreference:
    """The open dispreference."""

    def __init__(self, part: ExpertPreference, chat: ChatClient, prompts: PromptTemplates, seed: int) -> None:
        self._part, self._chat, self._prompts, self._seed = part, chat, prompts, seed

    def disprefer(
        self, cases: Sequence[Case], backbone: LiveBackbone | None, earlier: Sequence[Sequence[Pair]]
    ) -> Iterator[Pair | Drop]:
        """Yield for each case one of its samples over the other. Raises RecipeError for data that must not leave."""
        self._chat.admit(cases)  # before the backbone works for nothing
        part = self._part
        sampled = sample_answers(
            backbone,
            cases,
            2,
            temperature=part.sample_temperature,
            max_new_tokens=part.max_new_tokens,
            seed=self._seed,
        )
        yield from self._chat.each(list(zip(cases, sampled, strict=True)), self._make_pair)

    async def _make_pair(self, item: tuple[Case, list[OwnAnswer]]) -> Pair | Drop:
        """Make a case's pair."""
        case, samples = item
        first, second = samples
        if len(unlike_answers(samples)) < 2:
            return Drop(case.id, "both samples say the same, or one says nothing")
        try:
            outcome = await self._chat.ask(score_question(self._part, self._prompts, case, samples), check_scores)
        except NoAnswerError as end:
            return Drop(case.id, end.reason, passing=end.passing)
        scores = outcome.made
        if scores.first == scores.second:
            return Drop(case.id, "both samples have the same score")
        better, worse = (first, second) if scores.first > scores.second else (second, first)
        notes = {
            "model": self._part.model,
            "scores": sorted((scores.first, scores.second), reverse=True),
            "reason": scores.reason,
            "calls": outcome.calls,
            "tokens": list(outcome.tokens),
        }
        return prefer_answer(case, better, worse, notes)


def check_scores(scores: AnswerScores) -> AnswerScores | AnswerFault:
    """Return scores that are on the scale, or what is wrong with them."""
    if all(LOWEST <= score <= HIGHEST for score in (scores.first, scores.second)):
        return scores
    return AnswerFault("a score is off the scale", f"Both scores must be from {LOWEST} to {HIGHEST}.")


def score_question(
    part: ExpertPreference, prompts: PromptTemplates, case: Case, samples: Sequence[OwnAnswer]
) -> ChatQuestion:
    """Ask for the scores of two answers to a case; of the truth nothing is told."""
    first, second = samples
    text = prompts.render("user", question=case.question, first=first.text, second=second.text)
    return ChatQuestion(prompts.render("system"), text, AnswerScores, case, case.images if part.show_image else ())
