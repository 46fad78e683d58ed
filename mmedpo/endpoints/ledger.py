"""What a run pays endpoints: noted call by call in its folder, and kept within the recipe's budget."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mmedpo.core.usage import Usage
from mmedpo.data.text_files import split_lines
from mmedpo.errors import RecipeError
from mmedpo.store.run_files.format import format_row
from mmedpo.store.run_files.record import EndpointCall, ModelSpending
from mmedpo.store.run_folder import append_line


class TokenPrice(BaseModel):
    """What a model costs, in any currency, for a million tokens."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    input: float = Field(ge=0)
    """Of prompts."""
    output: float = Field(ge=0)
    """Of answers."""

    def price_tokens(self, tokens: tuple[int, int]) -> float:
        """Return what prompt and answer tokens cost."""
        return (self.input * tokens[0] + self.output * tokens[1]) / 1e6


class Budget(BaseModel):
    """What a run may pay endpoints at most; at a limit it stops, and a larger one lets it go on."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    calls: int | None = Field(default=None, ge=0)
    """Answered requests."""
    tokens: int | None = Field(default=None, ge=0)
    """Prompts and answers together."""
    money: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """In the currency of the prices."""
    prices: dict[str, TokenPrice] = {}
    """By the model's name, as a part calls it."""


@dataclass(frozen=True)
class SubmittedBatch:
    """What is set aside for a batch."""

    model: str
    most: Usage
    share: float  # of the price


@dataclass
class SpendingLedger:
    """What one run folder's endpoints were paid, in this process and before."""

    budget: Budget
    path: Path | None = None  # where each call is noted; None: nowhere
    by_model: dict[str, Usage] = field(default_factory=dict)
    lost: Counter[str] = field(default_factory=Counter)  # replies that may have been paid for and never came
    odd: dict[str, Counter[str]] = field(default_factory=dict)  # by model, what had to be guessed or replaced
    held: Usage = field(default_factory=Usage)  # for calls in flight
    batches: dict[str, SubmittedBatch] = field(default_factory=dict)  # not collected yet, by our names

    def __post_init__(self) -> None:
        lines = split_lines(self.path.read_text(encoding="utf-8")) if self.path and self.path.exists() else []
        for line in lines:
            with suppress(ValidationError):  # cut short by a kill
                self._count(EndpointCall.model_validate_json(line))

    @property
    def total(self) -> Usage:
        """What has been spent."""
        return sum(self.by_model.values(), Usage())

    @property
    def reserved(self) -> Usage:
        """What is set aside for calls in flight and batches."""
        return sum((batch.most for batch in self.batches.values()), self.held)

    def price_usage(self, model: str, tokens: tuple[int, int], share: float = 1.0, calls: int = 1) -> Usage:
        """Return the usage of calls with so many tokens, at a share of the price."""
        price = self.budget.prices.get(model)
        return Usage(calls, tokens, price.price_tokens(tokens) * share if price else 0.0)

    def find_exceeded(self, usage: Usage) -> str:
        """Name the limit that a usage would be beyond, with all that is spent and set aside; "" within all."""
        return self._exceeded_by(self.total + self.reserved + usage)

    def refuse_usage(self, limit: str, usage: Usage) -> RecipeError:
        """Say that a limit does not allow a usage."""
        return RecipeError(
            f"budget.{limit} is spent: {format_usage(self.total)} so far, and the next call may need "
            f"{format_usage(usage)}; what is answered is kept: raise the budget and run the same command to go on"
        )

    async def hold(self, usage: Usage) -> None:
        """Set a call's most aside; wait for others where it does not fit. Raises RecipeError when it never will."""
        while why := self.find_exceeded(usage):
            if not self.held.calls:
                raise self.refuse_usage(why, usage)
            await asyncio.sleep(0.02)
        self.held += usage

    def settle(
        self, model: str, usage: Usage, tokens: tuple[int, int] | None, *, lost: bool = False, odd: Sequence[str] = ()
    ) -> None:
        """Let a call's hold go, and note what it took; None: nothing came. `odd` is what was odd about the answer."""
        self.held += usage.times(-1)
        if tokens is not None or lost:
            odds = dict.fromkeys(odd, 1)
            self._note(EndpointCall(model=model, tokens=tokens, lost=int(tokens is None), odd=odds))

    def reserve_batch(self, batch: str, model: str, usage: Usage, share: float) -> None:
        """Set a batch's most aside until it is collected, by this process or a later one."""
        most = {"calls": usage.calls, "tokens": usage.tokens, "share": share}
        self._note(EndpointCall(model=model, batch=batch, submitted=True, **most))

    def settle_batch(
        self, batch: str, calls: int, tokens: tuple[int, int], lost: int, odd: Mapping[str, int] | None = None
    ) -> None:
        """Note what a batch took, which may be nothing; one that another run submitted is that run's to pay."""
        if batch in self.batches:
            submitted = self.batches[batch]
            taken = {"calls": calls, "tokens": tokens, "lost": lost, "odd": dict(odd or {})}
            self._note(EndpointCall(model=submitted.model, batch=batch, share=submitted.share, **taken))

    def _note(self, call: EndpointCall) -> None:
        self._count(call)
        if self.path is not None:
            append_line(self.path, format_row(call))

    def _count(self, call: EndpointCall) -> None:
        model = call.model
        usage = self.price_usage(model, call.tokens, call.share, call.calls) if call.tokens else Usage()
        if call.submitted:
            self.batches[call.batch] = SubmittedBatch(model, usage, call.share)
            return
        self.batches.pop(call.batch, None)
        self.lost[model] += call.lost
        self.odd.setdefault(model, Counter()).update(call.odd)
        if call.tokens:
            self.by_model[model] = self.by_model.get(model, Usage()) + usage

    def _exceeded_by(self, usage: Usage) -> str:
        """Name the limit that a usage is beyond; "" when it is within all."""
        limits = self.budget
        amounts = (("calls", limits.calls, usage.calls), ("tokens", limits.tokens, sum(usage.tokens)))
        for name, limit, amount in (*amounts, ("money", limits.money, usage.money)):
            if limit is not None and amount > limit * (1 + 1e-9):
                return name
        return ""

    def summary(self) -> dict[str, ModelSpending]:
        """Return what was spent, by model."""
        return {name: self._of_model(name) for name in sorted({*self.by_model, *self.lost, *self._in_batches})}

    @property
    def _in_batches(self) -> Counter[str]:
        counts: Counter[str] = Counter()
        for batch in self.batches.values():
            counts[batch.model] += batch.most.calls
        return counts

    def _of_model(self, model: str) -> ModelSpending:
        waiting, odd = self._in_batches[model], self.odd.get(model, Counter())
        return to_spending(
            self.by_model.get(model, Usage()), lost_replies=self.lost[model], calls_in_batches=waiting, **odd
        )


def to_spending(usage: Usage, **more: int) -> ModelSpending:
    """Return a usage as run.json has it."""
    tokens_in, tokens_out = usage.tokens
    money = round(usage.money, 6)
    return ModelSpending(calls=usage.calls, tokens_in=tokens_in, tokens_out=tokens_out, money=money, **more)


def format_usage(usage: Usage) -> str:
    """Say a usage in words."""
    money = f", {usage.money:,.4f} in money" if usage.money else ""
    return f"{usage.calls:,} calls, {sum(usage.tokens):,} tokens{money}"
