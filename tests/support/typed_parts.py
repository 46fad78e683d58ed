"""A third party's parts of every kind, written from public names alone and typed as strictly as mypy can."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import ClassVar

from pydantic import BaseModel

from mmedpo import (
    Answer,
    AnswerStore,
    Backbone,
    CallLedger,
    Case,
    DataError,
    Dispreference,
    Drop,
    Encoding,
    Event,
    ExistingFile,
    ImageRef,
    LiveBackbone,
    LiveDispreference,
    LiveLocalizer,
    LiveScorer,
    Localizer,
    Metric,
    Observer,
    PaidModel,
    Pair,
    PairKind,
    Reader,
    RecipeError,
    Region,
    Remark,
    RunFiles,
    Score,
    Scorer,
    Setting,
    Side,
    Statistics,
    Usage,
    Weighting,
    digest,
    hookimpl,
    read_run,
    seed_for,
    sum_statistics,
)
from mmedpo.data import TableRow, UniqueIds, csv_rows
from mmedpo.endpoints import AnswerFault, ChatClient, ChatQuestion, Endpoint, NoAnswerError, bound_usage, open_chat
from mmedpo.events import RunFinished, StageAdvanced, StageCount, StageFinished, StageStarted, TrainingLogged
from mmedpo.testing import check_part, tiny_pairs


class Films(Reader):
    """Read films from a table."""

    use = "films"
    public: ClassVar[bool] = True
    table: ExistingFile

    def read(self) -> Iterator[Case | Pair | Drop | Remark]:
        ids = UniqueIds()
        for row in csv_rows(self.table):
            yield self._case(row, ids)

    def _case(self, row: TableRow, ids: UniqueIds) -> Case:
        image = ImageRef.at(self.table.parent / row.text("image"), row.place)
        return Case(
            ids.require_new(row.text("id"), row), image, row.text("question"), row.text("answer"), restricted=False
        )


class OpenBrightest:
    """An open localizer."""

    def localize(self, cases: Sequence[Case], backbone: LiveBackbone | None) -> list[list[Region]]:
        return [[Region("bright", (0.0, 0.0, 8.0, 8.0), 0.5)] for _ in cases]


class Brightest(Localizer):
    """Find the brightest corner, by a model that lives from open to close."""

    use = "brightest"

    def open(self, setting: Setting) -> AbstractContextManager[LiveLocalizer]:
        return self._opened(setting)

    @contextmanager
    def _opened(self, setting: Setting) -> Iterator[OpenBrightest]:
        yield OpenBrightest()


class Reversed(Dispreference):
    """Reject the right answer read backwards."""

    use = "reversed"
    makes: ClassVar[PairKind] = "text"

    def open(self, setting: Setting) -> AbstractContextManager[LiveDispreference]:
        return super().open(setting)

    def disprefer(
        self, cases: Sequence[Case], backbone: LiveBackbone | None, earlier: Sequence[Sequence[Pair]]
    ) -> Iterator[Pair | Drop]:
        for case in cases:
            if len(case.answer) < 2:
                yield Drop(case.id, "its answer is too short")
            else:
                yield Pair(case, Side(case.image, case.answer), Side(case.image, case.answer[::-1]), "text")


class Coin(Scorer):
    """Toss a coin for each pair."""

    use = "coin"
    rates: ClassVar[frozenset[PairKind]] = frozenset({"text", "image"})

    def score(self, pairs: Sequence[Pair]) -> list[Score]:
        return [Score(float(seed_for(0, pair.id) % 2), {"tossed": True}) for pair in pairs]


class Paid(Scorer):
    """Rate by a service with a client of its own: what it answers is kept, what it takes is noted."""

    use = "paid"
    rates: ClassVar[frozenset[PairKind]] = frozenset({"text"})

    @contextmanager
    def _opened(self, setting: Setting) -> Iterator[LiveScorer]:
        if setting.journal is None or setting.ledger is None:
            raise RecipeError("paid is for runs alone")
        yield OpenPaid(setting.journal, setting.ledger)

    def open(self, setting: Setting) -> AbstractContextManager[LiveScorer]:
        return self._opened(setting)


class OpenPaid:
    """A client of a service."""

    def __init__(self, kept: AnswerStore, ledger: CallLedger) -> None:
        self._kept, self._ledger = kept, ledger

    def score(self, pairs: Sequence[Pair]) -> list[Score]:
        return [asyncio.run(self._score(pair)) for pair in pairs]

    async def _score(self, pair: Pair) -> Score:
        key, usage = digest("paid", pair.id), Usage(1, (100, 1))
        if (known := self._kept.get(key, float)) is not None:
            return Score(known)
        await self._ledger.hold(usage)
        self._ledger.settle("service", usage, (80, 1))
        self._kept.put(key, 0.5)
        return Score(0.5)


class Opinion(BaseModel):
    """What a model answers."""

    rating: int
    """From 0 to 10."""


class Asked(Endpoint, Scorer):
    """Ask a model over HTTP."""

    use = "asked"
    rates: ClassVar[frozenset[PairKind]] = frozenset({"text"})

    def needs(self, items: Sequence[Pair]) -> list[tuple[PaidModel, Usage]]:
        each = [bound_usage(self, "You rate.", pair.case.question, Opinion) for pair in items]
        return [(self, sum(each, Usage()))]

    def open(self, setting: Setting) -> AbstractContextManager[LiveScorer]:
        return self._opened(setting)

    @contextmanager
    def _opened(self, setting: Setting) -> Iterator[OpenAsked]:
        with open_chat(self, setting) as chat:
            yield OpenAsked(chat)


class OpenAsked:
    """A connection."""

    def __init__(self, chat: ChatClient) -> None:
        self._chat = chat

    def score(self, pairs: Sequence[Pair]) -> list[Score]:
        self._chat.admit(pair.case for pair in pairs)
        return self._chat.each(pairs, self._score)

    async def _score(self, pair: Pair) -> Score:
        question = ChatQuestion("You rate.", pair.case.question, Opinion, pair.case, pair.chosen.images)
        try:
            outcome = await self._chat.ask(question, self._accept)
        except NoAnswerError as end:
            return Score(None, {"why": end.reason, "passing": end.passing})
        return Score(outcome.made, {"calls": outcome.calls})

    def _accept(self, opinion: Opinion) -> float | AnswerFault:
        if not 0 <= opinion.rating <= 10:
            return AnswerFault("it rated out of range", "'rating' is from 0 to 10.")
        return opinion.rating / 10


class Halved(Weighting):
    """Weigh by half the relevance."""

    use = "halved"

    def weigh(self, scores: Sequence[Score]) -> list[float]:
        return [(score.relevance or 0.0) / 2 for score in scores]


class Length(Metric):
    """Measure how long answers are."""

    use = "length"
    additive: ClassVar[bool] = True
    better: ClassVar[Mapping[str, int]] = {"words": -1}

    def measure(self, cases: Sequence[Case], answers: Sequence[str]) -> list[Statistics]:
        return [{"words": float(len(answer.split())), "cases": 1.0} for answer in answers]

    def combine(self, statistics: Sequence[Statistics]) -> dict[str, float]:
        total = sum_statistics(statistics)
        return {"words": total["words"] / total["cases"]} if total.get("cases") else {}


class OpenEcho(LiveBackbone):
    """A model that answers with the question."""

    lora_targets = projector = ""

    def answer(
        self,
        cases: Sequence[Case],
        *,
        max_new_tokens: int = 64,
        temperature: float = 0.0,
        seeds: Sequence[int] | None = None,
    ) -> list[str]:
        return [Answer(case.question[:max_new_tokens], cut=len(case.question) > max_new_tokens) for case in cases]

    def encode(self, images: Sequence[ImageRef], question: str, answer: str) -> Encoding:
        return Encoding([1, 2, 3], 2, [{} for _ in images], [image.sha256 for image in images])


class Echo(Backbone):
    """Answer with the question."""

    use = "echo"

    def open(self, setting: Setting) -> AbstractContextManager[OpenEcho]:
        return self._opened(setting)

    @contextmanager
    def _opened(self, setting: Setting) -> Iterator[OpenEcho]:
        if setting.dtype != "float32":
            raise DataError("echo is of float32 alone")
        yield OpenEcho()


class Diary(Observer):
    """Write down what happens."""

    use = "diary"

    def see(self, event: Event) -> None:
        match event:
            case StageStarted(stage, total) | StageAdvanced(stage, total):
                print(stage, total)
            case StageFinished(stage, counts):
                print(stage, [self._line(count) for count in counts])
            case TrainingLogged(step, _, values):
                print(step, values.get("loss"))
            case RunFinished(folder):
                print(self._kept(read_run(folder)))

    def _line(self, count: StageCount) -> str:
        return f"{count.count} {count.what} by {count.part}"

    def _kept(self, files: RunFiles) -> float:
        return sum(item.weight for item in files.pairs())


@hookimpl
def mmedpo_readers() -> list[type[Reader]]:
    return [Films]


@hookimpl
def mmedpo_backbones() -> list[type[Backbone]]:
    return [Echo]


@hookimpl
def mmedpo_localizers() -> list[type[Localizer]]:
    return [Brightest]


@hookimpl
def mmedpo_dispreferences() -> list[type[Dispreference]]:
    return [Reversed]


@hookimpl
def mmedpo_scorers() -> list[type[Scorer]]:
    return [Coin, Paid, Asked]


@hookimpl
def mmedpo_weightings() -> list[type[Weighting]]:
    return [Halved]


@hookimpl
def mmedpo_metrics() -> list[type[Metric]]:
    return [Length]


@hookimpl
def mmedpo_observers() -> list[type[Observer]]:
    return [Diary]


def test_the_coin_keeps_the_contract() -> None:
    check_part(Coin())
    assert {score.relevance for score in Coin().score(tiny_pairs("text"))} <= {0.0, 1.0}
