"""The dispreference that lets a large model change a few words of the backbone's own answer (FiRe-MPO)."""

from __future__ import annotations

from difflib import SequenceMatcher
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from mmedpo import Case, Drop, Pair
from mmedpo.data import fold_text
from mmedpo.endpoints import AnswerFault, ChatQuestion, PromptTemplates, make_filler
from mmedpo_plugins.dispreferences.minimal_edits.word_edits import split_sentences
from mmedpo_plugins.own_answers.asking import AskingPart, LiveAsker
from mmedpo_plugins.own_answers.preference import prefer_answer
from mmedpo_plugins.own_answers.sampling import OwnAnswer

if TYPE_CHECKING:
    from mmedpo.endpoints import ChatClient


class EditorAnswer(BaseModel):
    """What the model answers."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    right: bool
    """Whether the answer was right."""
    edited: str
    """The answer with a few words replaced: put right where it was wrong, wrong where it was right."""


class EndpointEdit(AskingPart):
    """Let GPT-4o-mini, or any chat model, put the backbone's own answer right by few words, or wrong where it is right.

        disprefer:
          - {use: gpt4o-edit, model: gpt-4o-mini}

    FiRe-MPO (arXiv 2606.12590), section 4.1: the backbone answers once, greedily; the model at the endpoint is told
    question, truth and that answer, says whether it is right, and writes it again with as few words changed as can be.
    What agrees with the truth is preferred. What differs: one request where the publication takes two, since the words
    that differ are found by comparing; the prompt is ours. `own-answer-edit` does the same by rules, offline.
    """

    use: ClassVar[str] = "gpt4o-edit"
    own_prompts: ClassVar[Path] = Path(__file__).parent / "prompts"

    words: int = Field(default=3, ge=1)
    """How many words of a sentence may be replaced; published for reports: two or three."""

    @property
    def sampling(self) -> tuple[int, float]:
        """One answer, greedily."""
        return 1, 0.0

    def longest_question(self, prompts: PromptTemplates, case: Case) -> ChatQuestion:
        """Return what is asked about a case whose answer is as long as it may be."""
        return edit_question(self, prompts, case, make_filler(self.max_new_tokens.of(case.kind)))

    def live(self, chat: ChatClient, prompts: PromptTemplates, seed: int) -> LiveEndpointEdit:
        """Make the open part."""
        return LiveEndpointEdit(self, chat, prompts, seed)


class LiveEndpointEdit(LiveAsker[EndpointEdit]):
    """The open dispreference: a case's answer over its edit, or the reverse."""

    async def make_pair(self, case: Case, samples: list[OwnAnswer]) -> Pair | Drop:
        """Make a case's pair of its answer."""
        (answer,) = samples
        if not answer.text:
            return Drop(case.id, "the backbone's answer is empty")
        if answer.cut:
            return Drop(case.id, "the answer was cut at max_new_tokens")  # both sides would teach to stop there
        outcome = await self.chat.ask(
            edit_question(self.part, self.prompts, case, answer.text),
            lambda edit: check_edit(edit, answer.text, self.part.words),
        )
        other = OwnAnswer(outcome.made.edited)
        notes = self.note_calls(outcome, own="chosen" if outcome.made.right else "rejected")
        chosen, rejected = (answer, other) if outcome.made.right else (other, answer)
        return prefer_answer(case, chosen, rejected, notes)


def edit_question(part: EndpointEdit, prompts: PromptTemplates, case: Case, answer: str) -> ChatQuestion:
    """Ask for an edit of an answer to a case."""
    sentences = count_sentences(answer)
    most = {"most": part.words * sentences, "a_sentence": part.words, "sentences": sentences}
    text = prompts.render("user", question=case.question, truth=case.answer, answer=answer, **most)
    return ChatQuestion(prompts.render("system"), text, EditorAnswer, case, ())


def check_edit(edit: EditorAnswer, answer: str, words: int) -> EditorAnswer | AnswerFault:
    """Return an edit on one line that changes something, and few words; or what is wrong with it."""
    edited = " ".join(edit.edited.split())
    if not edited:
        return AnswerFault("the edited answer is empty", "'edited' has no words. Write the whole answer again.")
    if fold_text(edited) == fold_text(answer):
        return AnswerFault("the edited answer is the same", "'edited' says what the answer said. Replace a word.")
    changed, most = count_changes(answer, edited), words * count_sentences(answer)
    if changed > most:
        say = f"'edited' replaces {changed} words; replace at most {most}, and leave all others as they are."
        return AnswerFault("the edit changes too many words", say)
    return EditorAnswer(right=edit.right, edited=edited)


def count_sentences(answer: str) -> int:
    """Count the sentences of an answer; it has at least one."""
    return max(1, sum(bool(sentence.strip()) for _, sentence in split_sentences(answer)))


def count_changes(one: str, other: str) -> int:
    """Count the words in which two answers differ, on the side that has more of them."""
    sides = one.split(), other.split()
    blocks = SequenceMatcher(a=sides[0], b=sides[1], autojunk=False).get_matching_blocks()
    return max(map(len, sides)) - sum(block.size for block in blocks)
