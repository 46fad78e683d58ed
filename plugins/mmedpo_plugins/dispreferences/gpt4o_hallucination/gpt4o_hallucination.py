"""The dispreference that lets a large model pick or write the wrong answer (paper, section 3.1)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from mmedpo import CUT, Case, Drop, Pair
from mmedpo.endpoints import AnswerFault, ChatQuestion, PromptTemplates, make_filler
from mmedpo_plugins.own_answers.asking import AskingPart, LiveAsker
from mmedpo_plugins.own_answers.sampling import OwnAnswer

if TYPE_CHECKING:
    from mmedpo.endpoints import ChatClient


class AnswerChoice(BaseModel):
    """What the model answers."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    picked: int
    """The number of the candidate picked, or 0."""
    answer: str
    """The wrong answer."""
    change: Literal["finding", "side", "place", "severity", "presence", "other"]
    """What it changes."""


class Gpt4oHallucination(AskingPart):
    """Let GPT-4o, or any model that sees images, pick the worst of the backbone's answers or write one (section 3.1).

        disprefer:
          - {use: gpt4o-hallucination, model: gpt-4o, samples: 4}

    The backbone answers several times. The model picks the answer that contradicts the clinician's most, and where
    none does, writes a wrong one. Its answer is checked; it is told what is wrong with it, and after `repairs` such
    turns the case gives no pair. What is asked for is that only the content tells the wrong answer from the right
    one; `form: paper` is the paper's own procedure, which asks for nothing of the kind.
    """

    use: ClassVar[str] = "gpt4o-hallucination"
    own_prompts: ClassVar[Path] = Path(__file__).parent / "prompts"

    samples: int = Field(default=4, ge=0)
    """How often the backbone answers each question; 0: never, so that every error is put into the right answer
    (POVID, arXiv 2402.11411)."""
    sample_temperature: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """How freely the backbone answers; higher is freer."""
    form: Literal["matched", "paper"] = "matched"
    """matched: a wrong answer in the form of the right one, by the three options below. paper: as in section 3.1, a
    picked answer stays as the backbone gave it, a written one as it was written, in any length and style, a closed one
    also without yes or no; only an empty answer and the right one itself are sent back."""
    length: float | None = Field(default=1.5, ge=1)
    """The wrong answer is at most so many times as long, or as short, as the right one; null: any length."""
    same_style: bool = True
    """Ask for the right answer's style, and give it its final stop and first letter."""
    one_change: bool = True
    """Ask for one clinically meaningful change: a finding, side, place, severity, or presence."""
    show_image: bool = True
    """Send the image along."""

    @model_validator(mode="after")
    def _refuse_idle_options(self) -> Gpt4oHallucination:
        if self.form == "paper":
            self._refuse({"length", "same_style", "one_change"}, "form: paper takes an answer in any form")
        if not self.samples:
            self._refuse({"sample_temperature", "max_new_tokens"}, "samples: 0 asks the backbone for none")
        return self

    def _refuse(self, names: set[str], why: str) -> None:
        if idle := sorted(names & self.list_changed()):
            raise ValueError(f"{why}; {', '.join(idle)} would count for nothing")

    @property
    def sampling(self) -> tuple[int, float]:
        """As the recipe says."""
        return self.samples, self.sample_temperature

    def longest_question(self, prompts: PromptTemplates, case: Case) -> ChatQuestion:
        """Return what is asked about a case whose samples are all as long as they may be."""
        return _choice_question(self, prompts, case, [make_filler(self.max_new_tokens.of(case.kind))] * self.samples)

    def live(self, chat: ChatClient, prompts: PromptTemplates, seed: int) -> LiveGpt4oHallucination:
        """Make the open part."""
        return LiveGpt4oHallucination(self, chat, prompts, seed)


class LiveGpt4oHallucination(LiveAsker[Gpt4oHallucination]):
    """The open dispreference: the true answer of a case over the wrong one."""

    async def make_pair(self, case: Case, samples: list[OwnAnswer]) -> Pair | Drop:
        """Make a case's pair."""
        from mmedpo_plugins.dispreferences.gpt4o_hallucination.answer_checks import plain

        by_words = {plain(sample.text): sample.text for sample in reversed(samples)}  # the first of equals
        candidates = [text for words, text in reversed(by_words.items()) if words and words != plain(case.answer)]
        outcome = await self.chat.ask(
            _choice_question(self.part, self.prompts, case, candidates),
            lambda choice: self._check_choice(case, candidates, choice),
        )
        answer, choice = outcome.made
        picked = candidates[choice.picked - 1] if choice.picked else None
        said = [sample.said for sample in samples]
        notes = self.note_calls(outcome, samples=said, picked=picked, change=choice.change)
        cut = {sample.text for sample in samples if sample.cut}
        notes |= {CUT: True} if self.part.form == "paper" and answer == picked and answer in cut else {}
        return Pair(case, case.side(case.answer), case.side(answer), kind="text", notes=notes)

    def _check_choice(
        self, case: Case, candidates: list[str], choice: AnswerChoice
    ) -> tuple[str, AnswerChoice] | AnswerFault:
        """Return the wrong answer in its final form, or what is wrong with it."""
        if not 0 <= choice.picked <= len(candidates):
            return AnswerFault("it picked what is not there", f"'picked' is 0 to {len(candidates)}.")
        if self.part.form == "paper":
            return self._check_paper(case, candidates, choice)
        return self._check_matched(case, choice)

    def _check_paper(
        self, case: Case, candidates: list[str], choice: AnswerChoice
    ) -> tuple[str, AnswerChoice] | AnswerFault:
        from mmedpo_plugins.dispreferences.gpt4o_hallucination.answer_checks import fault_of

        answer = candidates[choice.picked - 1] if choice.picked else " ".join(choice.answer.split())
        return fault_of(case.answer, answer) or (answer, choice)

    def _check_matched(self, case: Case, choice: AnswerChoice) -> tuple[str, AnswerChoice] | AnswerFault:
        from mmedpo_plugins.dispreferences.gpt4o_hallucination.answer_checks import fault_of, form_fault, in_style

        answer = " ".join(choice.answer.split())
        if self.part.same_style:
            answer = in_style(case.answer, answer)
        fault = fault_of(case.answer, answer)
        return fault or form_fault(case.answer, answer, opposite_opening(case), self.part.length) or (answer, choice)


def _choice_question(
    part: Gpt4oHallucination, prompts: PromptTemplates, case: Case, candidates: Sequence[str]
) -> ChatQuestion:
    """Ask about one case."""
    from mmedpo_plugins.dispreferences.gpt4o_hallucination.answer_checks import word_range

    matched = part.form == "matched"
    least, most = word_range(case.answer, part.length) if matched and part.length else (0, 0)
    text = prompts.render(
        "user",
        question=case.question,
        truth=case.answer,
        candidates=candidates,
        form=part.form,
        opposite=opposite_opening(case) if matched else "",
        one_change=matched and part.one_change,
        same_style=matched and part.same_style,
        least=least,
        most=most,
        words=len(case.answer.split()),
    )
    system = prompts.render("system")
    return ChatQuestion(system, text, AnswerChoice, case, case.images if part.show_image else ())


def opposite_opening(case: Case) -> str:
    """Return the yes or no that a wrong answer must open with; empty where the truth is neither."""
    from mmedpo_plugins.radiology.mentions import yes_or_no

    opposites: dict[str, Any] = {"yes": "No", "no": "Yes"}
    return str(opposites.get(yes_or_no(case.answer), "")) if case.kind == "closed" else ""
