"""The dispreference in which the backbone, shown the truth, picks the better of two of its answers (SIMA)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, model_validator

from mmedpo import AnswerLimits, Case, CaseKind, Dispreference, Drop, ExistingFolder, LiveBackbone, Pair, Setting
from mmedpo.endpoints import PromptTemplates
from mmedpo_plugins.own_answers.preference import prefer_answer
from mmedpo_plugins.own_answers.sampling import OwnAnswer, greedy_answers, sample_answers, unlike_answers

if TYPE_CHECKING:
    from mmedpo_plugins.dispreferences.sima.critics import CriticChoice, LiveCritic

OF_ASKING = ("both_orders", "critic_tokens", "prompts")  # options of the critic that is asked


class SelfCritic(Dispreference):
    """Let the backbone, shown the truth, prefer one of its greedy and its sampled answer (SIMA, arXiv 2405.15973).

        disprefer:
          - {use: sima, temperature: 0.8}

    Of the greedy answer and one sampled at a temperature, the model itself picks the one nearer to the clinician's, by
    three criteria: what is there, where and how it lies to the rest, what it is like (Wang et al. 2024,
    in-context self-critic). The pick is y_w, the other y_l. Both are the model's own; the clinician's answer is seen by
    the critic alone.

    What differs: the prompt and its two examples are ours and of radiology; the sample is drawn without top-p 0.9;
    answers that differ in writing alone and choices that cannot be read are counted; an answer that was cut off is not
    preferred. `both_orders` and `rules` are not the publication's: `rules` compares findings, places and severities by
    the rules of the voter `rules`, for a model that cannot follow a critic's prompt.
    """

    use: ClassVar[str] = "sima"
    makes = "text"
    needs_backbone = True

    temperature: float = Field(default=0.8, gt=0, allow_inf_nan=False)
    """How freely the backbone samples the second answer; higher is freer."""
    max_new_tokens: AnswerLimits = AnswerLimits()
    """The longest answer, in tokens: a number, or one each for `closed`, `open` and `report`."""
    critic: Literal["ask", "rules"] = "ask"
    """Who picks: the model that answered, or the rules of radiology English."""
    both_orders: bool = False
    """With `ask`, ask again with the two in the other order, and make no pair where the pick is another: a model may
    like what comes first."""
    critic_tokens: int = Field(default=192, ge=1)
    """With `ask`, the longest criticism, in tokens."""
    prompts: ExistingFolder | None = None
    """With `ask`, a folder with critic.txt, a Jinja template, in place of ours."""

    @model_validator(mode="after")
    def _refuse_idle_options(self) -> SelfCritic:
        for name in OF_ASKING:
            if self.critic == "rules" and name in self.list_changed():
                raise ValueError(f"'{name}' is for critic: ask; it says critic: rules")
        return self

    def longest_answer(self, kind: CaseKind) -> int:
        """Return the tokens that a rejected answer to a case of a kind has at most."""
        return self.max_new_tokens.of(kind)

    def open(self, setting: Setting) -> AbstractContextManager[_LiveSelfCritic]:
        """Yield the object that samples with the run's seed. Raises RecipeError for a broken prompt."""
        return nullcontext(_LiveSelfCritic(self, setting.seed, self._make_critic()))

    def _make_critic(self) -> LiveCritic:
        from mmedpo_plugins.dispreferences.sima.critics import AskingCritic, RulesCritic

        if self.critic == "rules":
            return RulesCritic()
        prompts = PromptTemplates(Path(__file__).parent / "prompts", self.prompts, ["critic"])
        return AskingCritic(prompts, self.critic_tokens, self.both_orders)


@dataclass(frozen=True)
class _LiveSelfCritic:
    """The open dispreference: the options, the run's seed and the critic."""

    part: SelfCritic
    seed: int
    critic: LiveCritic

    def disprefer(
        self, cases: Sequence[Case], backbone: LiveBackbone | None, earlier: Sequence[Sequence[Pair]]
    ) -> Iterator[Pair | Drop]:
        """Yield for each case the answer that the critic picks over the other."""
        from mmedpo_plugins.dispreferences.sima.critics import AnswerRivals

        longest = self.part.max_new_tokens
        sampled = sample_answers(
            backbone, cases, 1, temperature=self.part.temperature, max_new_tokens=longest, seed=self.seed
        )
        assert backbone, "it has answered"
        greedy = greedy_answers(backbone, cases, max_new_tokens=longest)
        both = [AnswerRivals(*three) for three in zip(cases, greedy, (own for (own,) in sampled), strict=True)]
        apart = [len(unlike_answers([two.greedy, two.sampled])) == 2 for two in both]
        choices = iter(self.critic.choose(backbone, [two for two, unlike in zip(both, apart, strict=True) if unlike]))
        for two, unlike in zip(both, apart, strict=True):
            if unlike:
                yield self._make_pair(two.case, two.greedy, two.sampled, next(choices))
            else:
                yield Drop(two.case.id, "the sampled answer says what the greedy one does, or one says nothing")

    def _make_pair(self, case: Case, greedy: OwnAnswer, sampled: OwnAnswer, choice: CriticChoice) -> Pair | Drop:
        if choice.better is None:
            return Drop(case.id, choice.why)
        is_greedy = choice.better is greedy
        notes = {"critic": self.part.critic, "chosen": "greedy" if is_greedy else "sampled"}
        return prefer_answer(case, choice.better, sampled if is_greedy else greedy, notes)
