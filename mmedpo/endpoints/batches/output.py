"""What a batch brings: each line of its files is an answer, or says why there is none; answers are journalled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import IO, TYPE_CHECKING

from mmedpo.endpoints.batches.notes import RequestNote, read_request_note, write_request_note
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
    redact: Callable[[str], str]
    dialect: EndpointDialect  # that its requests were written in
    learn_dialect: Callable[[EndpointDialect, str], bool]
    judge_refusal: Callable[[EndpointRefusal], Exception]
    answered: int = 0
    tokens: tuple[int, int] = (0, 0)
    lost: int = 0  # answers that cannot be read and may have been charged
    odd: Counter[str] = field(default_factory=Counter)
    refused: dict[str, RequestNote] = field(default_factory=dict)
    unusable: list[TransientError] = field(default_factory=list)  # successes without an answer in them
    stop: Exception | None = None  # what would go wrong with every request

    def take_lines(self, batch: str, lines: IO[bytes]) -> None:
        """Journal the answers in a file."""
        for line in _whole_lines(lines):
            if line.strip():
                self._take_line(batch, line)

    def judge(self, url: str, batch: str) -> None:
        """Stop where no request was answered; else note which were refused."""
        if not self.answered and not self.stop and (why := self._why_none(batch)):
            self.stop = RecipeError(f"{url} {why}")
        if self.stop is None:
            for key, note in self.refused.items():
                write_request_note(self.journal, key, note)

    def _why_none(self, batch: str) -> str:
        if len(self.refused) >= NONE_OF and (first := next(iter(self.refused.values())).refused):
            return f"rejected all {len(self.refused)} requests of {batch}: HTTP {first.status}: {first.said[:300]}"
        if len(self.unusable) >= NONE_OF:
            return f"answered none of {len(self.unusable)} requests of {batch}, the first with {self.unusable[0]}"
        return ""

    def _take_line(self, batch: str, line: bytes) -> None:
        """Journal the answer that a line holds, or why there is none."""
        key, outcome = read_batch_line(line, self._most_tokens, self.redact)
        note = read_request_note(self.journal, key) if key else None
        if note is None or note.batch != batch:
            return  # a line for nobody; who has none is asked for again
        if isinstance(outcome, EndpointAnswer):
            self._take_answer(key, outcome)
        elif isinstance(outcome, TransientError):
            self._take_error(key, outcome, note)
        else:
            self._take_refusal(key, outcome, note)

    def _take_answer(self, key: str, answer: EndpointAnswer) -> None:
        self.journal.put(key, answer.to_json())
        self.answered += 1
        self.tokens = (self.tokens[0] + answer.tokens[0], self.tokens[1] + answer.tokens[1])
        self.odd.update(answer.odd)

    def _take_error(self, key: str, error: TransientError, note: RequestNote) -> None:
        if error.teaches and self.learn_dialect(self.dialect, error.said):
            self._forgive(key, note)
            return
        self.lost += error.maybe_paid
        if error.unusable:
            self.unusable.append(error)
        write_request_note(self.journal, key, replace(note, what=error.what))

    def _take_refusal(self, key: str, refusal: EndpointRefusal, note: RequestNote) -> None:
        if refusal.status in (400, 422) and self.learn_dialect(self.dialect, refusal.said):
            self._forgive(key, note)
        elif isinstance(verdict := self.judge_refusal(refusal), MmedpoError):
            self.stop = self.stop or verdict
            self._forgive(key, note)
        else:
            self.refused[key] = replace(note, refused=refusal)

    def _forgive(self, key: str, note: RequestNote) -> None:
        """Take a try back: what went wrong was not the request's own fault."""
        write_request_note(self.journal, key, replace(note, tries=note.tries - 1))

    def _most_tokens(self, key: str) -> tuple[int, int]:
        """Return how many tokens a request and its answer have at most."""
        note = read_request_note(self.journal, key)
        return note.most if note else (0, 0)


def _whole_lines(file: IO[bytes]) -> Iterator[bytes]:
    """Yield a file's lines; what has no end is no line."""
    while line := file.readline(LONGEST):
        if len(line) < LONGEST:
            yield line
