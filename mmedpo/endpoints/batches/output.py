"""What a batch brings: each line of its files is an answer, or says why there is none; answers are journalled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

from mmedpo.endpoints.batches.notes import read_request_note, request_note_key
from mmedpo.endpoints.http.body import read_batch_line
from mmedpo.endpoints.http.dialect import EndpointDialect
from mmedpo.endpoints.http.outcome import EndpointAnswer, EndpointRefusal, TransientError
from mmedpo.errors import MmedpoError, RecipeError

if TYPE_CHECKING:
    from mmedpo.registry.contracts.setting import AnswerStore

LONGEST = 4 * 2**20  # bytes of a line; answers have some thousands
NONE_OF = 8  # requests of a batch, none of them answered, after which something is wrong with all


@dataclass
class BatchOutput:
    """What one batch brought."""

    journal: AnswerStore
    clean: Callable[[str], str]
    dialect: EndpointDialect  # that its requests were written in
    learn: Callable[[EndpointDialect, str], bool]
    verdict: Callable[[EndpointRefusal], Exception]
    answered: int = 0
    tokens: tuple[int, int] = (0, 0)
    lost: int = 0  # answers that cannot be read and may have been charged
    odd: Counter[str] = field(default_factory=Counter)
    refused: dict[str, EndpointRefusal] = field(default_factory=dict)
    unusable: list[TransientError] = field(default_factory=list)  # successes without an answer in them
    stop: Exception | None = None  # what would go wrong with every request

    def take(self, batch: str, lines: IO[bytes]) -> None:
        """Journal the answers in a file."""
        for line in _lines(lines):
            if line.strip():
                self._take_line(batch, line)

    def judge(self, url: str, batch: str) -> None:
        """Stop where no request was answered; else note which were refused."""
        if not self.answered and not self.stop and (why := self._why_none(batch)):
            self.stop = RecipeError(f"{url} {why}")
        if self.stop is None:
            for key, blame in self.refused.items():
                self._mark(key, refused={"status": blame.status, "code": blame.code})

    def to_json(self) -> dict[str, Any]:
        """Return what the batch's sheet says of it."""
        return {"answered": self.answered, "tokens": list(self.tokens), "lost": self.lost, "odd": dict(self.odd)}

    def _why_none(self, batch: str) -> str:
        if len(self.refused) >= NONE_OF:
            told = next(iter(self.refused.values()))
            return f"rejected all {len(self.refused)} requests of {batch}: HTTP {told.status}: {told.said[:300]}"
        if len(self.unusable) >= NONE_OF:
            return f"answered none of {len(self.unusable)} requests of {batch}, the first with {self.unusable[0]}"
        return ""

    def _take_line(self, batch: str, line: bytes) -> None:
        """Journal the answer that a line holds, or why there is none."""
        key, got = read_batch_line(line, self._most, self.clean)
        known = read_request_note(self.journal, key) if key else None
        if known is None or known["batch"] != batch:
            return  # a line for nobody; who has none is asked for again
        if isinstance(got, EndpointAnswer):
            self.journal.put(key, got.to_json())
            self.answered += 1
            self.tokens = (self.tokens[0] + got.tokens[0], self.tokens[1] + got.tokens[1])
            self.odd.update(got.odd)
        elif isinstance(got, TransientError):
            self._take_fault(key, got, known)
        elif got.status in (400, 422) and self.learn(self.dialect, got.said):
            self._mark(key, tries=known["tries"] - 1)
        elif isinstance(verdict := self.verdict(got), MmedpoError):
            self.stop = self.stop or verdict
            self._mark(key, tries=known["tries"] - 1)
        else:
            self.refused[key] = got

    def _take_fault(self, key: str, fault: TransientError, known: dict[str, Any]) -> None:
        if fault.teaches and self.learn(self.dialect, fault.said):
            self._mark(key, tries=known["tries"] - 1)
            return
        self.lost += fault.maybe_paid
        if fault.unusable:
            self.unusable.append(fault)
        self._mark(key, what=fault.what)

    def _most(self, key: str) -> tuple[int, int]:
        """Return how many tokens a request and its answer have at most."""
        most = (read_request_note(self.journal, key) or {}).get("most", (0, 0))
        return most[0], most[1]

    def _mark(self, key: str, **facts: Any) -> None:
        self.journal.put(request_note_key(key), {**(read_request_note(self.journal, key) or {}), **facts})


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    """Yield a file's lines; what has no end is no line."""
    while line := file.readline(LONGEST):
        if len(line) < LONGEST:
            yield line
