"""The dispreference that lets a large model change a few words of the backbone's own answer (FiRe-MPO)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from difflib import SequenceMatcher
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from mmedpo import Case, Dispreference, Drop, ExistingFolder, LiveBackbone, Pair, Setting, Usage
from mmedpo.data import fold_text
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
from mmedpo_plugins.dispreferences.minimal_edits.word_edits import split_sentences
from mmedpo_plugins.own_answers.preference import prefer_answer
from mmedpo_plugins.own_answers.sampling import OwnAnswer, sample_answers

if TYPE_CHECKING:
    from mmedpo.endpoints import ChatClient


class EditorAnswer(BaseModel):
    """What the model answers."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    right: bool
    """Whether the answer was right."""
    edited: str
    """The answer with a few words replaced: put right where it was wrong, wrong where it was right."""


class EndpointEdit(Endpoint, Dispreference):
    """Let GPT-4o-mini, or any chat model, put the backbone's own answer right by few words, or wrong where it is right.

        disprefer:
          - {use: gpt4o-edit, model: gpt-4o-mini}

    FiRe-MPO (arXiv 2606.12590), section 4.1: the backbone answers once, greedily; the model at the endpoint is told
    question, truth and that answer, says whether it is right, and writes it again with as few words changed as can be.
    What agrees with the truth is preferred. What differs: one request where the publication takes two, since the words
    that differ are found by comparing; the prompt is ours. `own-answer-edit` does the same by rules, offline.
    """

    use: ClassVar[str] = "gpt4o-edit"
    makes = "text"
    needs_backbone = True
    slice_size: ClassVar[int] = 128

    max_new_tokens: int = Field(default=64, ge=1)
    """The backbone's longest answer, in tokens."""
    words: int = Field(default=3, ge=1)
    """How many words of a sentence may be replaced; published for reports: two or three."""
    prompts: ExistingFolder | None = None
    """A folder with system.txt or user.txt, Jinja templates, in place of ours."""

    @property
    def longest_answer(self) -> int:
        """The tokens that a rejected answer has at most."""
        return max(self.max_tokens, self.max_new_tokens)

    def estimate_usage(self, items: Sequence[Case]) -> list[tuple[Endpoint, Usage]]:
        """Return what asking about these cases can take at most, each answer at its token limit."""
        prompts, longest = self._read_prompts(), make_filler(self.max_new_tokens)
        questions = [edit_question(self, prompts, case, longest) for case in items]
        return [(self, sum((bound_usage(self, q.system, q.text, q.shape) for q in questions), Usage()))]

    def open(self, setting: Setting) -> AbstractContextManager[_LiveEndpointEdit]:
        """Connect to the endpoint. Raises RecipeError when its key or a prompt is missing."""
        return self._open(setting)

    @contextmanager
    def _open(self, setting: Setting) -> Iterator[_LiveEndpointEdit]:
        with open_chat(self, setting) as chat:
            yield _LiveEndpointEdit(self, chat, self._read_prompts(), setting.seed)

    def _read_prompts(self) -> PromptTemplates:
        return PromptTemplates(Path(__file__).parent / "prompts", self.prompts)


class _LiveEndpointEdit:
    """The open dispreference."""

    def __init__(self, part: EndpointEdit, chat: ChatClient, prompts: PromptTemplates, seed: int) -> None:
        self._part, self._chat, self._prompts, self._seed = part, chat, prompts, seed

    def disprefer(
        self, cases: Sequence[Case], backbone: LiveBackbone | None, earlier: Sequence[Sequence[Pair]]
    ) -> Iterator[Pair | Drop]:
        """Yield a case's answer over its edit, or the reverse. Raises RecipeError for data that must not leave."""
        self._chat.admit(cases)  # before the backbone works for nothing
        limit = self._part.max_new_tokens
        said = sample_answers(backbone, cases, 1, temperature=0.0, max_new_tokens=limit, seed=self._seed)
        yield from self._chat.each(list(zip(cases, (one for (one,) in said), strict=True)), self._make_pair)

    async def _make_pair(self, item: tuple[Case, OwnAnswer]) -> Pair | Drop:
        """Make a case's pair."""
        case, answer = item
        if not answer.text:
            return Drop(case.id, "the backbone's answer is empty")
        if answer.cut:
            return Drop(case.id, "the answer was cut at max_new_tokens")  # both sides would teach to stop there
        try:
            outcome = await self._chat.ask(
                edit_question(self._part, self._prompts, case, answer.text),
                lambda edit: check_edit(edit, answer.text, self._part.words),
            )
        except NoAnswerError as end:
            return Drop(case.id, end.reason, passing=end.passing)
        other = OwnAnswer(outcome.made.edited)
        own = "chosen" if outcome.made.right else "rejected"
        notes = {"model": self._part.model, "own": own, "calls": outcome.calls, "tokens": list(outcome.tokens)}
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
