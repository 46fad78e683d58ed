"""The dispreference in which the backbone scores its own answers (Self-Rewarding)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, model_validator

from mmedpo import AnswerLimits, Case, CaseKind, Dispreference, Drop, ExistingFolder, LiveBackbone, Pair, Setting
from mmedpo.endpoints import PromptTemplates
from mmedpo_plugins.own_answers.preference import prefer_answer
from mmedpo_plugins.own_answers.sampling import OwnAnswer, sample_answers, unlike_answers

if TYPE_CHECKING:
    from mmedpo_plugins.dispreferences.self_rewarding.judges import AnswerScore, LiveJudge

USED_BY = {  # options that not every judge uses
    "judgements": ("ask",),
    "judge_temperature": ("ask",),
    "judge_tokens": ("ask",),
    "prompts": ("ask", "expect"),
}


class SelfReward(Dispreference):
    """Let the backbone score its own answers, and prefer the best over the worst (Self-Rewarding, arXiv 2401.10020).

        disprefer:
          - {use: self-rewarding, samples: 4, temperature: 0.7, judgements: 3}

    Of n sampled answers y, y_w = argmax r(y) over y_l = argmin r(y), where r(y) is the mean of several scores that the
    model itself gives y, 0 to 5, one point for each of five criteria (Yuan et al. 2024, AI feedback training); a case
    whose best and worst score the same gives no pair. It is meant for several rounds, each with the model of the round
    before as judge and as reference. Of the clinician's answer it is told nothing.

    What differs: questions are the data's, not written by the model; the judge sees the image, and is not trained to
    judge beforehand; samples are drawn at a temperature alone, without top-p 0.9; answers that differ in writing alone
    count once; an answer that was cut off is not preferred. `expect` and `likelihood` are not the publication's:
    `expect` is for a model that does not keep to the form of an answer, `likelihood` (the language part of the reward
    of CSR, arXiv 2405.14622, by token) for one that cannot judge at all, and rewards only how sure it is.
    """

    use: ClassVar[str] = "self-rewarding"
    makes = "text"
    needs_backbone = True

    samples: int = Field(default=4, ge=2)
    """How often each question is asked."""
    temperature: float = Field(default=0.7, gt=0, allow_inf_nan=False)
    """How freely the backbone answers; higher is freer."""
    max_new_tokens: AnswerLimits = AnswerLimits()
    """The longest answer, in tokens: a number, or one each for `closed`, `open` and `report`."""
    judge: Literal["ask", "expect", "likelihood"] = "ask"
    """How an answer is scored: by the points that the model says when asked; by their mean, as probable as each is as
    its next word; or by the mean log-probability of the answer's own tokens."""
    judgements: int = Field(default=3, ge=1)
    """With `ask`, how often each answer is judged; its score is the mean."""
    judge_temperature: float = Field(default=0.7, gt=0, allow_inf_nan=False)
    """With `ask`, how freely the backbone judges."""
    judge_tokens: int = Field(default=192, ge=1)
    """With `ask`, the longest judgement, in tokens."""
    prompts: ExistingFolder | None = None
    """A folder with judge.txt, a Jinja template, in place of ours."""

    @model_validator(mode="after")
    def _refuse_idle_options(self) -> SelfReward:
        for name, judges in USED_BY.items():
            if self.judge not in judges and getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"'{name}' is for judge: {' and '.join(judges)}; it says judge: {self.judge}")
        return self

    def longest_answer(self, kind: CaseKind) -> int:
        """Return the tokens that a rejected answer to a case of a kind has at most."""
        return self.max_new_tokens.of(kind)

    def open(self, setting: Setting) -> AbstractContextManager[_LiveSelfReward]:
        """Yield the object that samples and judges with the run's seed. Raises RecipeError for a broken prompt."""
        return nullcontext(_LiveSelfReward(self, setting.seed, self._make_judge(setting.seed)))

    def _make_judge(self, seed: int) -> LiveJudge:
        from mmedpo_plugins.dispreferences.self_rewarding.judges import AskingJudge, ExpectingJudge, LikelihoodJudge

        if self.judge == "likelihood":
            return LikelihoodJudge()
        prompts = PromptTemplates(Path(__file__).parent / "prompts", self.prompts, ["judge"])
        if self.judge == "expect":
            return ExpectingJudge(prompts)
        return AskingJudge(prompts, self.judgements, self.judge_temperature, self.judge_tokens, seed)


@dataclass(frozen=True)
class _LiveSelfReward:
    """The open dispreference: the options, the run's seed and the judge."""

    part: SelfReward
    seed: int
    judge: LiveJudge

    def disprefer(
        self, cases: Sequence[Case], backbone: LiveBackbone | None, earlier: Sequence[Sequence[Pair]]
    ) -> Iterator[Pair | Drop]:
        """Yield for each case the best of its sampled answers over the worst."""
        part = self.part
        sampled = sample_answers(
            backbone,
            cases,
            part.samples,
            temperature=part.temperature,
            max_new_tokens=part.max_new_tokens,
            seed=self.seed,
        )
        assert backbone, "it has answered"
        rivals = [unlike_answers(own) for own in sampled]
        asked = [(case, own) for case, some in zip(cases, rivals, strict=True) if len(some) > 1 for own in some]
        scores = iter(self.judge.score(backbone, asked))
        for case, some in zip(cases, rivals, strict=True):
            if len(some) < 2:
                yield Drop(case.id, "the samples all say the same")
            else:
                yield self._best_pair(case, some, [next(scores) for _ in some])

    def _best_pair(self, case: Case, rivals: Sequence[OwnAnswer], scores: Sequence[AnswerScore]) -> Pair | Drop:
        """Return the pair of the best answer over the worst."""
        rated = [(score.value, own) for score, own in zip(scores, rivals, strict=True) if score.value is not None]
        if len(rated) < 2:
            return Drop(case.id, "fewer than two of the samples have a score that can be read")
        best, worst = max(rated, key=lambda one: one[0]), min(rated, key=lambda one: one[0])  # the first of equals
        if best[0] == worst[0]:
            return Drop(case.id, "the model scores its answers alike")
        unread = sum(score.unread for score in scores)
        notes: dict[str, Any] = {
            "judge": self.part.judge,
            "scores": [round(best[0], 4), round(worst[0], 4)],
            "samples": self.part.samples,
            "unlike": len(rivals),
            "unread": unread,
        }
        notes |= {"fallback": "some of the judgements could not be read"} if unread else {}
        return prefer_answer(case, best[1], worst[1], notes)
