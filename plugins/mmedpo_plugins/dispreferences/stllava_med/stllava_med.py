"""The dispreference in which a large model scores two answers of the backbone (STLLaVA-Med)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from mmedpo import Case, CaseKind, Drop, Pair
from mmedpo.endpoints import AnswerFault, ChatQuestion, PromptTemplates, make_filler
from mmedpo_plugins.own_answers.asking import AskingPart, LiveAsker
from mmedpo_plugins.own_answers.preference import prefer_answer
from mmedpo_plugins.own_answers.sampling import OwnAnswer, unlike_answers

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


class ExpertPreference(AskingPart):
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
    own_prompts: ClassVar[Path] = Path(__file__).parent / "prompts"

    temperature: float = Field(default=0.2, ge=0, le=2)
    """How freely the model at the endpoint judges; left out for models that do not take it."""
    sample_temperature: float = Field(default=1.2, gt=0, allow_inf_nan=False)
    """How freely the backbone answers; higher is freer."""
    show_image: bool = True
    """Send the image along."""

    def longest_answer(self, kind: CaseKind) -> int:
        """Return the tokens that a rejected answer to a case of a kind has at most."""
        return self.max_new_tokens.of(kind)

    @property
    def sampling(self) -> tuple[int, float]:
        """Two answers, freely."""
        return 2, self.sample_temperature

    def longest_question(self, prompts: PromptTemplates, case: Case) -> ChatQuestion:
        """Return what is asked about a case whose answers are both as long as they may be."""
        longest = OwnAnswer(make_filler(self.max_new_tokens.of(case.kind)))
        return score_question(self, prompts, case, (longest, longest))

    def live(self, chat: ChatClient, prompts: PromptTemplates, seed: int) -> LiveExpertPreference:
        """Make the open part."""
        return LiveExpertPreference(self, chat, prompts, seed)


class LiveExpertPreference(LiveAsker[ExpertPreference]):
    """The open dispreference: of a case's two answers one over the other."""

    async def make_pair(self, case: Case, samples: list[OwnAnswer]) -> Pair | Drop:
        """Make a case's pair of its two answers."""
        first, second = samples
        if len(unlike_answers(samples)) < 2:
            return Drop(case.id, "both samples say the same, or one says nothing")
        outcome = await self.chat.ask(score_question(self.part, self.prompts, case, samples), check_scores)
        scores = outcome.made
        if scores.first == scores.second:
            return Drop(case.id, "both samples have the same score")
        better, worse = (first, second) if scores.first > scores.second else (second, first)
        ranked = sorted((scores.first, scores.second), reverse=True)
        notes = self.note_calls(outcome, scores=ranked, reason=scores.reason)
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
